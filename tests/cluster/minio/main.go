// Minio is the MinIO server, for tests; see `minio server --help`.
//
// MinIO's licence is the AGPL-3.0: the binary is built where the tests run and handed to nobody.
package main

import (
	"os"

	minio "github.com/minio/minio/cmd"
)

func main() {
	minio.Main(os.Args)
}
