// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package servertest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Nginx is a web server with TLS that takes PUT requests. Files are in dumps in its
// store.
func Nginx(t testing.TB, size string) *Server {
	t.Helper()
	s := New(t, size)
	dumps := filepath.Join(s.Store, "dumps")
	if err := os.Mkdir(dumps, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Write(t, "conf", `
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[2]s/body; client_max_body_size 0;
	proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
	server {
		listen 127.0.0.1:%[3]d ssl; root %[4]s;
		location / { dav_methods PUT; create_full_put_path on; dav_access user:rw; }
	}
}
`, s.Dir, s.Store, s.Port, dumps)
	s.Run(t, "nginx", "-c", s.Path("conf"), "-p", s.Dir) // Debian: nginx-light
	return s
}

const nfsPort = 2049

// Ganesha is an NFS server in user space, on the port that NFS has, as addresses of
// exports have none. It exports its store as /srv.
func Ganesha(t testing.TB, size string) *Server {
	t.Helper()
	s := New(t, size)
	s.Port = nfsPort
	awaitPort(t, nfsPort)
	s.Write(t, "conf", `
NFS_Core_Param { NFS_Port = %d; Protocols = 4; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { RecoveryRoot = %q; Grace_Period = 5; Lease_Lifetime = 10; Minor_Versions = 1, 2; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = %q; Pseudo = /srv; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
	Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
`, nfsPort, s.Path("recovery"), s.Store)
	// Debian: nfs-ganesha, nfs-ganesha-vfs
	s.Run(t, "ganesha.nfsd", "-F", "-f", s.Path("conf"), "-L", "STDERR", "-p", s.Path("pid"))
	return s
}

// awaitPort waits until nobody has the port, which a test of another package may.
func awaitPort(t testing.TB, port int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(time.Second) {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			listener.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Skip(err)
		}
	}
}
