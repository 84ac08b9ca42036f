// Controlplane runs a real Kubernetes control plane on this machine, for tests: etcd in this process, and
// kube-apiserver, kube-controller-manager and kube-scheduler as children that are this same binary.
//
//	controlplane --dir DIR --port PORT [--restart-delay 10s]
//
// DIR receives admin.kubeconfig, PROGRAM.log and PROGRAM.pid. A child that dies comes back after the delay, so that
// killing one makes an outage of known length. SIGTERM ends the API server before etcd.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if name := filepath.Base(os.Args[0]); programs[name] != nil {
		os.Exit(cli.Run(programs[name]()))
	}
	dir := flag.String("dir", "", "folder for everything; made if missing")
	port := flag.Int("port", 0, "port of the API server on 127.0.0.1")
	delay := flag.Duration("restart-delay", 10*time.Second, "how long a child that died stays away")
	flag.Parse()
	if *dir == "" || *port == 0 {
		fmt.Fprintln(os.Stderr, "controlplane: --dir and --port are needed")
		os.Exit(2)
	}
	if err := run(*dir, *port, *delay); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(dir string, port int, delay time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := prepare(dir, port); err != nil {
		return err
	}
	client, closeEtcd, err := startEtcd(dir)
	if err != nil {
		return err
	}
	defer closeEtcd()
	// The clients of the API server go first, then the API server, then etcd.
	late, endLate := context.WithCancel(context.Background())
	server := supervise(late, dir, delay, "kube-apiserver", apiserverFlags(dir, port, client))
	if err := answering(ctx, port); err != nil {
		endLate()
		<-server
		return err
	}
	var clients sync.WaitGroup
	for name, flags := range map[string][]string{
		"kube-controller-manager": controllerFlags(dir),
		"kube-scheduler":          {"--kubeconfig=" + dir + "/admin.kubeconfig", "--leader-elect=false", "--secure-port=0"},
	} {
		done := supervise(ctx, dir, delay, name, flags)
		clients.Add(1)
		go func() { defer clients.Done(); <-done }()
	}
	<-ctx.Done()
	clients.Wait()
	endLate()
	<-server
	return nil
}

// prepare writes the key of service accounts, the administrator's token and a kubeconfig that uses it.
func prepare(dir string, port int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	token := hex.EncodeToString(raw)
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:%d", certificate-authority: %s/certs/apiserver.crt}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, port, dir, token)
	files := map[string][]byte{
		"service-accounts.key": pem.EncodeToMemory(block),
		"tokens.csv":           []byte(token + ",admin,admin,system:masters\n"),
		"admin.kubeconfig":     []byte(config),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startEtcd starts etcd on free ports and returns its URL. Nothing is synced to the disk: a test's cluster may be lost.
func startEtcd(dir string) (string, func(), error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	client, err := freeURL()
	if err != nil {
		return "", nil, err
	}
	peer, err := freeURL()
	if err != nil {
		return "", nil, err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return "", nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return client.String(), etcd.Close, nil
	case <-time.After(time.Minute):
		etcd.Close()
		return "", nil, fmt.Errorf("etcd did not come up within a minute")
	}
}

func freeURL() (url.URL, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer listener.Close()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}, nil
}

// answering waits until the API server takes connections; its certificate is there then.
func answering(ctx context.Context, port int) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("the API server did not come up within a minute; see kube-apiserver.log")
}

func apiserverFlags(dir string, port int, etcd string) []string {
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=" + dir + "/certs",
		"--token-auth-file=" + dir + "/tokens.csv",
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + dir + "/service-accounts.key",
		"--service-account-signing-key-file=" + dir + "/service-accounts.key",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--endpoint-reconciler-type=none",
		"--allow-privileged=false",
		"--profiling=false",
	}
}

func controllerFlags(dir string) []string {
	return []string{
		"--kubeconfig=" + dir + "/admin.kubeconfig",
		"--authentication-kubeconfig=" + dir + "/admin.kubeconfig",
		"--authorization-kubeconfig=" + dir + "/admin.kubeconfig",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + dir + "/service-accounts.key",
		"--root-ca-file=" + dir + "/certs/apiserver.crt",
		"--leader-elect=false",
		"--secure-port=0",
		"--node-monitor-period=1s",
		"--node-monitor-grace-period=6s",
	}
}

// supervise keeps one program running until the context ends; the channel is closed when it has stopped for good.
func supervise(ctx context.Context, dir string, delay time.Duration, name string, flags []string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := once(ctx, dir, name, flags); err != nil {
				fmt.Fprintf(os.Stderr, "controlplane: %s: %v\n", name, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(delay):
			}
		}
	}()
	return done
}

func once(ctx context.Context, dir, name string, flags []string) error {
	// The kernel sends Pdeathsig when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, "/proc/self/exe", flags...)
	command.Args[0] = name
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	if err := command.Start(); err != nil {
		return err
	}
	pid := filepath.Join(dir, name+".pid")
	if err := os.WriteFile(pid, fmt.Append(nil, command.Process.Pid), 0o600); err != nil {
		return err
	}
	err = command.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}
