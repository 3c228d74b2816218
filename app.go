package kappa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/topology"
)

// App is a program: topologies, and verbs of its own.
type App struct {
	// Name is the program's name. It is required.
	Name string
	// Short says in one line what the program does.
	Short string
	// Long says it at length, above the list of verbs. Default: Short.
	Long string
	// Version is what --version prints. Default: there is no --version.
	Version string
	// Groups are what the verb run runs, all in one process. Without any, the
	// program is a tool for other programs' groups.
	Groups []*topology.Def
	// Commands are verbs of the program's own. One with the path of a built-in
	// verb replaces it: a command "topics" with a child "create" replaces
	// "topics create" and leaves the other children of "topics".
	Commands []*cobra.Command
}

// giveUp is how long a program has after the first signal. What it does in order
// takes less than two seconds; connections to brokers that do not answer take more.
const giveUp = 4 * time.Second

// Main runs the program with the process's arguments and ends the process.
//
// SIGINT and SIGTERM end it in order: what runs commits or aborts what it has
// begun. A second signal ends it at once, and so do four seconds, where brokers do not
// answer. The exit code is 0, 1 after an error or 2 where the command line is
// wrong.
func Main(app App) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // the next signal meets the default: the process ends
		time.AfterFunc(giveUp, func() {
			fmt.Fprintf(os.Stderr, "%s: still busy %v after the signal, ended; what was not committed is done again\n", app.Name, giveUp)
			os.Exit(1)
		})
	})
	code := Run(ctx, app, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(code)
}

// Run runs the program with args, without its name, until it is done or ctx ends,
// and returns the exit code.
func Run(ctx context.Context, app App, args []string, stdout, stderr io.Writer) int {
	root := newRoot(app)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w", err)
	}
	fmt.Fprintf(stderr, "%s: %v\n", app.Name, err)
	if h := hint(app, err); h != "" {
		fmt.Fprintf(stderr, "hint: %s\n", h)
	}
	if usage := (*usageError)(nil); errors.As(err, &usage) || isUnknownCommand(err) {
		fmt.Fprintf(stderr, "hint: %s --help\n", cmd.CommandPath())
		return 2
	}
	return 1
}

// Each verb's help names the flags of its own; those that all have are listed in
// that of the program.
const (
	globalFlags = `Global Flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}`
	fewerFlags = `Flags for connection and logs: {{.Root.Name}} --help`
)

func newRoot(app App) *cobra.Command {
	root := &cobra.Command{
		Use: app.Name, Short: app.Short, Long: app.Long, Version: app.Version,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), globalFlags, fewerFlags, 1))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	connectionFlags(root.PersistentFlags())
	logFlags(root.PersistentFlags())
	addCommands(root, builtins(app))
	addCommands(root, app.Commands)
	prepare(root)
	return root
}

// builtins returns the verbs that every program has, and those that need groups.
func builtins(app App) []*cobra.Command {
	list := []*cobra.Command{viewCommand(app), lagCommand(app), emitCommand(app), leaveCommand(app), resetCommand(app), topicsCommand(app), archiveCommand(app), devCommand(app)}
	if len(app.Groups) > 0 {
		list = append(list, runCommand(app), describeCommand(app))
	}
	return list
}

// addCommands adds commands to parent. A command that only holds others is merged
// into one of the same name; any other takes its place.
func addCommands(parent *cobra.Command, commands []*cobra.Command) {
	for _, c := range commands {
		old := child(parent, c.Name())
		switch {
		case old != nil && c.HasSubCommands() && !c.Runnable():
			addCommands(old, c.Commands())
			continue
		case old != nil:
			parent.RemoveCommand(old)
		}
		parent.AddCommand(c)
	}
}

func child(parent *cobra.Command, name string) *cobra.Command {
	for _, c := range parent.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// prepare makes every runnable command take its flags from the environment, and
// wrong arguments an error of the command line. It says in each flag's usage what
// its variable is.
func prepare(c *cobra.Command) {
	nameVariables(c.PersistentFlags())
	nameVariables(c.Flags())
	if c.Runnable() {
		check := c.Args
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return &usageError{err}
			}
			if check == nil {
				return nil
			}
			if err := check(cmd, args); err != nil {
				return &usageError{err}
			}
			return nil
		}
	}
	for _, child := range c.Commands() {
		prepare(child)
	}
}

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// isUnknownCommand: cobra has no type for it.
func isUnknownCommand(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag")
}
