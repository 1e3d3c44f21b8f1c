package cli

import (
	"errors"
	"fmt"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/pipeline"
)

// Exit codes; those above 1 are from sysexits(3).
const (
	exitClean      = 0
	exitFailed     = 1
	exitUsage      = 64
	exitCheckpoint = 65 // corrupt, foreign or newer
	exitLocked     = 73
	exitDrain      = 75
)

// usageError says that the command line is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef is fmt.Errorf for a wrong command line.
func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode returns what the process ends with. Where an error is several at once, the one that an operator has to
// act on first decides.
func (a *app) exitCode(err error) int {
	var usage *usageError
	var conf *config.Error
	var foreign *checkpoint.ForeignError
	switch {
	case !a.begun, errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &conf):
		return conf.ExitCode()
	case errors.Is(err, checkpoint.ErrLocked):
		return exitLocked
	case errors.Is(err, checkpoint.ErrCorrupt), errors.Is(err, checkpoint.ErrNewer), errors.As(err, &foreign):
		return exitCheckpoint
	case errors.Is(err, pipeline.ErrDrain):
		return exitDrain
	}
	return exitFailed
}
