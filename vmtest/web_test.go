// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// remote is a server of the test's own that a machine saves its dump to.
type remote struct {
	dir    string // of the server
	port   int
	dumps  string   // where the directories of dumps are to appear
	conf   []string // lines of kdump.conf
	files  []string // to be in the machine's /etc, below dir
	start  func() *exec.Cmd
	server *exec.Cmd
}

// run starts the server and waits until it takes connections.
func (r *remote) run(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r.server = r.start()
	r.server.Stdout, r.server.Stderr = log, log
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v takes no connections: %v\n%s", r.server, err, readFile(t, log.Name()))
		}
	}
}

// stop kills the server and its children.
func (r *remote) stop() {
	children, _ := exec.Command("pgrep", "-P", fmt.Sprint(r.server.Process.Pid)).Output()
	r.server.Process.Kill()
	r.server.Wait()
	if pids := strings.Fields(string(children)); len(pids) > 0 {
		_ = exec.Command("kill", append([]string{"-9"}, pids...)...).Run()
	}
}

func newRemote(t *testing.T, programs ...string) *remote {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	return &remote{dir: dir, port: listener.Addr().(*net.TCPAddr).Port, dumps: filepath.Join(dir, "dumps")}
}

// webServer is nginx, which takes PUT requests.
func webServer(t *testing.T) *remote {
	r := newRemote(t, "nginx")
	if err := os.Mkdir(r.dumps, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.dir, "config"), fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; client_max_body_size 0; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
	uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen 127.0.0.1:%[2]d; root %[3]s; location / { dav_methods PUT; create_full_put_path on; dav_access user:rw; } }
}
`, r.dir, r.port, r.dumps))
	r.start = func() *exec.Cmd { return exec.Command("nginx", "-c", filepath.Join(r.dir, "config"), "-p", r.dir) }
	r.conf = []string{fmt.Sprintf("http http://10.0.2.2:%d/", r.port)}
	return r
}

// receiver is our kdumprecv, with TLS and a token.
func receiver(t *testing.T) *remote {
	r := newRemote(t, "openssl")
	output(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=dumps",
		"-addext", "subjectAltName=IP:10.0.2.2", "-keyout", filepath.Join(r.dir, "key.pem"), "-out", filepath.Join(r.dir, "cert.pem"))
	token, line, _ := strings.Cut(output(t, filepath.Join(Build, "ukdump"), "kdumprecv", "token", "web1"), "\n")
	write(t, filepath.Join(r.dir, "token"), token)
	write(t, filepath.Join(r.dir, "tokens"), line)
	r.start = func() *exec.Cmd {
		return exec.Command(filepath.Join(Build, "ukdump"), "kdumprecv", "--listen", fmt.Sprintf("127.0.0.1:%d", r.port),
			"--dir", r.dumps, "--cert", filepath.Join(r.dir, "cert.pem"), "--key", filepath.Join(r.dir, "key.pem"),
			"--tokens", filepath.Join(r.dir, "tokens"))
	}
	r.conf = []string{fmt.Sprintf("http https://10.0.2.2:%d/", r.port), "tls_ca /etc/remote/cert.pem", "http_token /etc/remote/token"}
	r.files = []string{"cert.pem", "token"}
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// crash has a machine crash and save its dump to the server. In the middle of that,
// act is called, if it is not nil.
func (r *remote) crash(t *testing.T, k Kernel, collector string, act func()) *Console {
	t.Helper()
	files := filepath.Join(t.TempDir(), "etc/remote")
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range r.files {
		write(t, filepath.Join(files, name), readFile(t, filepath.Join(r.dir, name)))
	}
	root, err := MakeRootWith(k, k.Release+"-remote", filepath.Dir(filepath.Dir(files)))
	if err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Args: Network(NIC{})}
	conf := append([]string{"machine tested", "core_collector makedumpfile " + collector}, r.conf...)
	m.Steps = slices.Concat(AttachNetwork(), []string{"write /etc/kdump.conf " + strings.Join(conf, "|"),
		kdumpctl + "build", kdumpctl + "load", "fill 256", "crash"})
	acted := make(chan struct{})
	var once bool
	m.Print = func(line string) {
		if act != nil && !once && strings.Contains(line, "ukdump: dump: writing") {
			once = true
			go func() {
				defer close(acted)
				act()
			}()
		}
	}
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	if act != nil && !once {
		t.Error("the dump was over before anything happened to the server")
	} else if act != nil {
		<-acted
	}
	return console
}

// TestWeb saves dumps to web servers, and to one of them with a restart in the
// middle.
func TestWeb(t *testing.T) {
	begin(t)
	ukdump(t)
	for _, test := range []struct {
		name    string
		server  func(*testing.T) *remote
		where   string // of the dump's directory below dumps
		restart bool
	}{
		{"put", webServer, "", false},
		{"kdumprecv", receiver, "web1", false},
		{"kdumprecv restarted", receiver, "web1", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := needKernel(t, suites()[0])
			r := test.server(t)
			r.run(t)
			t.Cleanup(func() {
				r.stop()
				if t.Failed() {
					t.Logf("the server says:\n%s", readFile(t, filepath.Join(r.dir, "log")))
				}
			})
			collector, act := "-l -d 31", func() {
				r.stop()
				r.run(t)
			}
			if test.restart {
				collector = "-z -d 0" // a dump of all memory is under way for long enough
			} else {
				act = nil
			}
			console := r.crash(t, k, collector, act)
			dumps := filepath.Join(r.dumps, test.where)
			if test.name == "put" {
				unflatten(t, k, onlyDump(t, dumps))
			}
			checkSaved(t, k, console, dumps)
		})
	}
}
