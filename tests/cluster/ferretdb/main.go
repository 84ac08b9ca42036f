// Ferretdb serves MongoDB's wire protocol over SQLite files, for tests.
//
//	ferretdb --listen 127.0.0.1:27017 --dir DIR
//
// DIR receives one file per database; it is made if missing. SIGTERM ends it. What was acknowledged survives kill -9,
// though not a power cut: a test's documents may be lost. Nothing is reported to anyone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "host:port to serve at")
	dir := flag.String("dir", "", "folder of the databases; made if missing")
	flag.Parse()
	if *listen == "" || *dir == "" {
		fmt.Fprintln(os.Stderr, "ferretdb: --listen and --dir are needed")
		os.Exit(2)
	}
	if err := run(*listen, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

func run(listen, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	front, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { front.Close() })
	folder := url.URL{Scheme: "file", Path: dir + "/", OmitHost: true, RawQuery: "_pragma=synchronous(normal)"}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: folder.String(),
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	go func() {
		address, err := url.Parse(server.MongoDBURI())
		if err == nil {
			err = serve(front, address.Host)
		}
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "ferretdb:", err)
			os.Exit(1)
		}
	}()
	return server.Run(ctx)
}
