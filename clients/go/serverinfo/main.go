// Command serverinfo prints what a server is: its version, its services, and the projects in it.
//
//	FTF_SERVER=127.0.0.1:9000 FTF_TOKEN=... go run ./serverinfo
//
// FTF_SERVER is host:port, or https://host:port for TLS with the system's certificates.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	common "finetuneflow/client/gen/finetuneflow/common/v1"
	ingest "finetuneflow/client/gen/finetuneflow/ingest/v1"
)

func main() {
	if err := run(os.Getenv("FTF_SERVER"), os.Getenv("FTF_TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, "serverinfo:", err)
		os.Exit(1)
	}
}

func run(address, token string) error {
	secure := insecure.NewCredentials()
	if host, found := strings.CutPrefix(address, "https://"); found {
		address, secure = host, credentials.NewTLS(nil)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(secure))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	info, err := common.NewServerServiceClient(connection).GetServerInfo(ctx, &common.GetServerInfoRequest{})
	if err != nil {
		return err
	}
	fmt.Println("version ", info.GetVersion())
	fmt.Println("services", strings.Join(info.GetServices(), ", "))
	request := &ingest.ListProjectsRequest{}
	for {
		page, err := ingest.NewIngestServiceClient(connection).ListProjects(ctx, request)
		if err != nil {
			return err
		}
		for _, project := range page.GetProjects() {
			fmt.Println("project ", project.GetName())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}
