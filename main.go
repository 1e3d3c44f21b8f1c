// Command s1stream streams the threats of SentinelOne consoles to the systems that a SIEM reads.
package main

import (
	"os"

	"s1stream/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
