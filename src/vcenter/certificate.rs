//! The two facts of an X.509 certificate that a refusal shows: its SHA-256 thumbprint and when it expires.
//!
//! The date is read with a few lines of DER (RFC 5280 §4.1) rather than with a parser crate: it is text for a person,
//! and no decision depends on it.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

pub(super) type Thumbprint = [u8; 32];

pub(super) fn thumbprint(der: &[u8]) -> Thumbprint {
    Sha256::digest(der).into()
}

/// `AB:CD:…`, as vCenter's own pages show it.
pub(super) fn show(thumbprint: &Thumbprint) -> String {
    thumbprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Reads 64 hexadecimal digits, with colons or without, also with the `sha256 Fingerprint=` that openssl puts before.
pub(super) fn read(text: &str) -> Result<Thumbprint, String> {
    let digits = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
    let digits = digits.trim().strip_prefix("SHA256:").unwrap_or(digits);
    let nibbles = digits
        .chars()
        .filter(|c| !matches!(c, ':' | ' ' | '\n'))
        .map(|c| c.to_digit(16).ok_or_else(|| format!("{c:?} in the thumbprint is not a hexadecimal digit")))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: Vec<u8> =
        nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | (*nibble & 0xF) as u8)).collect();
    match nibbles.len() {
        64 => bytes.try_into().map_err(|_| "the thumbprint is not 32 bytes long".to_owned()),
        40 => Err("this is a SHA-1 thumbprint; give the SHA-256 thumbprint (64 hexadecimal digits)".into()),
        n => Err(format!("a SHA-256 thumbprint has 64 hexadecimal digits, this has {n}")),
    }
}

/// `notAfter` of a certificate; `None` when it cannot be read.
pub(super) fn expiry(der: &[u8]) -> Option<Timestamp> {
    const EXPLICIT_VERSION: u8 = 0xA0;
    let (_, certificate) = Der(der).next()?;
    let (_, to_be_signed) = Der(certificate).next()?;
    let mut fields = Der(to_be_signed);
    let (tag, _) = fields.next()?;
    if tag == EXPLICIT_VERSION {
        fields.next()?; // serialNumber
    }
    fields.next()?; // signature
    fields.next()?; // issuer
    let (_, validity) = fields.next()?;
    let (tag, not_after) = Der(validity).nth(1)?;
    time(tag, std::str::from_utf8(not_after).ok()?)
}

fn time(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = match tag {
        // Two digits of the year: from 50 on they mean the last century.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The elements of a DER sequence: tag and content.
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // The long form: the low bits count the bytes of the length. Four are plenty for a certificate.
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F)).filter(|(b, _)| b.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["vc.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn expiry_of_both_time_formats() {
        for year in [2026, 2049, 2050, 2112] {
            assert_eq!(expiry(&certificate(year)).unwrap().to_string(), format!("{year}-02-03T00:00:00Z"));
        }
    }

    #[test]
    fn thumbprints_as_people_paste_them() {
        let thumb = thumbprint(b"a certificate");
        let shown = show(&thumb);
        let bare = shown.replace(':', "");
        for text in
            [&shown, &bare, &bare.to_lowercase(), &format!("sha256 Fingerprint={shown}\n"), &format!("SHA256:{bare}")]
        {
            assert_eq!(read(text), Ok(thumb), "{text}");
        }
        for (text, why) in [("", "has 0"), (&bare[1..], "has 63"), (&bare[..40], "SHA-1"), ("zz", "not a hexadecimal")]
        {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            expiry(&bytes);
        }

        #[test]
        fn nor_a_damaged_certificate(at in 0_usize..300, byte in any::<u8>(), keep in 0_usize..400) {
            let mut der = certificate(2030);
            if let Some(b) = der.get_mut(at) {
                *b = byte;
            }
            der.truncate(keep);
            expiry(&der);
        }
    }
}
