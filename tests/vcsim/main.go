// Command vcsim serves VMware's own vCenter simulator on a loopback port, until its standard input ends.
//
// Debian ships the simulator as a library only. Build with Debian's packages, without a network:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o vcsim main.go
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	certificate := flag.String("cert", "", "PEM file with the server's certificate (the library's own default is refused by current clients)")
	key := flag.String("key", "", "PEM file with its key")
	user := flag.String("user", "administrator@vsphere.local", "the one user who may log in")
	password := flag.String("password", "", "their password")
	machines := flag.Int("vms", 2, "virtual machines per resource pool; there are two pools")
	idle := flag.Duration("session-idle", 0, "end sessions without a call for so long; 0: never")
	verbose := flag.Bool("v", false, "log what the simulator does")
	flag.Parse()
	if !*verbose {
		log.SetOutput(io.Discard)
	}

	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	fail(err)
	simulator.SessionIdleTimeout = *idle

	model := simulator.VPX()
	model.Machine = *machines
	fail(model.Create())
	defer model.Remove()
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(*user, *password)}
	server := model.Service.NewServer()
	defer server.Close()

	fmt.Println(server.URL.Host)
	_, err = io.Copy(io.Discard, os.Stdin)
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
