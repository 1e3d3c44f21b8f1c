package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when the program is built: -ldflags "-X s1stream/internal/cli.version=v1.2.3".
var version = "dev"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and what the program was built with and for",
		Example: "  s1stream version",
		Args:    cobra.NoArgs,
		RunE: a.command(func(context.Context, []string) error {
			_, err := io.WriteString(a.stdout, versionText())
			return err
		}),
	}
}

func versionText() string {
	return fmt.Sprintf("s1stream %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
