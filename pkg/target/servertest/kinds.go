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

// The ports that NFS has, and the portmapper by which version 3 finds the rest.
const (
	nfsPort = 2049
	mapPort = 111
)

// Ganesha is an NFS server in user space, on the port that NFS has, as addresses of
// exports have none. It exports its store as /srv, by version 4.
func Ganesha(t testing.TB, size string) *Server {
	t.Helper()
	return ganesha(t, size, 4)
}

// Ganesha3 is the same by version 3 alone. It needs rpcbind, which it starts if this
// machine has none that runs.
func Ganesha3(t testing.TB, size string) *Server {
	t.Helper()
	if !taken(mapPort) {
		portmapper := New(t, "")
		portmapper.Port = mapPort
		portmapper.Run(t, "rpcbind", "-f") // Debian: rpcbind, which nfs-ganesha depends on
	}
	return ganesha(t, size, 3)
}

func ganesha(t testing.TB, size string, version int) *Server {
	t.Helper()
	s := New(t, size)
	s.Port = nfsPort
	awaitPort(t, nfsPort)
	s.Write(t, "conf", `
NFS_Core_Param { NFS_Port = %[1]d; Protocols = %[2]d; Bind_addr = 127.0.0.1; Mount_Path_Pseudo = true;
	Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { RecoveryRoot = %[3]q; Grace_Period = 5; Lease_Lifetime = 10; Minor_Versions = 1, 2; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = %[4]q; Pseudo = /srv; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
	Protocols = %[2]d; Transports = TCP; FSAL { Name = VFS; } }
`, nfsPort, version, s.Path("recovery"), s.Store)
	// Debian: nfs-ganesha, nfs-ganesha-vfs
	s.Run(t, "ganesha.nfsd", "-F", "-f", s.Path("conf"), "-L", "STDERR", "-p", s.Path("pid"))
	return s
}

// taken reports whether somebody on this machine takes connections at the port.
func taken(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		conn.Close()
	}
	return err == nil
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
