//! Another client of the same vCenter, with a session of its own: what an administrator or site recovery does there.

use failback::vcenter::Trust;
use reqwest::{Certificate, Client};

use crate::Site;

pub struct Hand {
    http: Client,
    url: String,
    cookie: String,
}

impl Hand {
    pub async fn on(site: &Site) -> Self {
        // Another thread may have installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder().http1_only();
        let builder = match &site.trust {
            Trust::Ca(pem) => builder.tls_certs_only([Certificate::from_pem(pem.as_bytes()).unwrap()]),
            Trust::System | Trust::Thumbprint(_) => builder,
        };
        let scheme = if site.server.starts_with("http") { "" } else { "https://" };
        let url = format!("{scheme}{}/sdk", site.server);
        let mut hand = Self { http: builder.build().unwrap(), url, cookie: String::new() };
        let password = site.password.replace('&', "&amp;").replace('<', "&lt;");
        let login = format!("<userName>{}</userName><password>{password}</password>", site.user);
        let answer = hand.call("Login", "SessionManager", "SessionManager", &login).await;
        assert!(answer.contains("LoginResponse"), "{answer}");
        hand
    }

    /// Makes a call and gives the raw answer; a fault is an answer, too.
    pub async fn call(&mut self, method: &str, kind: &str, id: &str, arguments: &str) -> String {
        let body = format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
             <{method} xmlns=\"urn:vim25\"><_this type=\"{kind}\">{id}</_this>{arguments}</{method}>\
             </soapenv:Body></soapenv:Envelope>"
        );
        let request = self.http.post(&self.url).header("SOAPAction", "\"urn:vim25/6.5\"");
        let request = request.header("cookie", &self.cookie).header("content-type", "text/xml; charset=utf-8");
        let response = request.body(body).send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        response.text().await.unwrap()
    }

    pub async fn on_vm(&mut self, method: &str, vm: &str, arguments: &str) {
        let answer = self.call(method, "VirtualMachine", vm, arguments).await;
        assert!(answer.contains(&format!("{method}Response")), "{answer}");
    }
}
