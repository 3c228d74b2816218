package kappa

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// connectionFlags are the ones of every verb that talks to a cluster.
func connectionFlags(f *pflag.FlagSet) {
	f.StringSlice("brokers", []string{"127.0.0.1:9092"}, "brokers to ask first, host:port, separated by commas")
	f.Duration("connect-timeout", 10*time.Second, "how long to try to reach a broker")
	f.Bool("tls", false, "encrypt connections")
	f.String("tls-ca", "", "PEM file of the authorities to trust (default: the system's)")
	f.String("tls-cert", "", "PEM file of the client's certificate, for mutual TLS")
	f.String("tls-key", "", "PEM file of the client's key")
	f.String("tls-server-name", "", "name that the brokers' certificates must bear (default: the host)")
	f.Bool("tls-skip-verify", false, "accept any certificate; for tests only")
	f.String("sasl", "", "mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM")
	f.String("sasl-user", "", "user, of PLAIN and SCRAM")
	f.String("sasl-password", "", "password, of PLAIN and SCRAM; the variable keeps it out of the list of processes")
	f.String("sasl-token", "", "token, of OAUTHBEARER")
	f.String("aws-access-key", "", "access key, of AWS_MSK_IAM")
	f.String("aws-secret-key", "", "secret key, of AWS_MSK_IAM")
	f.String("aws-session-token", "", "session token, of AWS_MSK_IAM")
}

func logFlags(f *pflag.FlagSet) {
	f.String("log-level", "info", "what to log: debug, info, warn or error")
	f.String("log-format", "text", "how to log: text or json")
}

// connection reads the connection flags of a command.
func connection(cmd *cobra.Command) (kafka.Config, error) {
	log, err := logger(cmd)
	if err != nil {
		return kafka.Config{}, err
	}
	f := flags{cmd.Flags()}
	brokers, _ := f.GetStringSlice("brokers")
	wait, _ := f.GetDuration("connect-timeout")
	c := kafka.Config{Brokers: brokers, ClientID: cmd.Root().Name(), ConnectTimeout: wait, Log: log}
	if f.anySet("tls") {
		c.TLS = &kafka.TLSConfig{
			CAFile: f.text("tls-ca"), CertFile: f.text("tls-cert"), KeyFile: f.text("tls-key"),
			ServerName: f.text("tls-server-name"), SkipVerify: f.on("tls-skip-verify"),
		}
	}
	if f.anySet("sasl") {
		c.SASL = &kafka.SASLConfig{
			Mechanism: kafka.Mechanism(strings.ToUpper(f.text("sasl"))),
			User:      f.text("sasl-user"), Password: f.text("sasl-password"), Token: f.text("sasl-token"),
			AccessKey: f.text("aws-access-key"), SecretKey: f.text("aws-secret-key"), SessionToken: f.text("aws-session-token"),
		}
	}
	if err := c.Validate(); err != nil {
		return c, &usageError{err}
	}
	return c, nil
}

// flags reads flags that are known to be there.
type flags struct{ *pflag.FlagSet }

func (f flags) text(name string) string {
	s, _ := f.GetString(name)
	return s
}

func (f flags) on(name string) bool {
	b, _ := f.GetBool(name)
	return b
}

// anySet reports whether the flag name, or one that starts with name and a dash,
// was given a value other than its default.
func (f flags) anySet(name string) bool {
	found := false
	f.VisitAll(func(g *pflag.Flag) {
		named := g.Name == name || strings.HasPrefix(g.Name, name+"-")
		found = found || named && g.Value.String() != g.DefValue
	})
	return found
}

// logger makes the logger that the log flags of a command ask for.
func logger(cmd *cobra.Command) (*slog.Logger, error) {
	f := flags{cmd.Flags()}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.text("log-level"))); err != nil {
		return nil, &usageError{fmt.Errorf("--log-level %s: use debug, info, warn or error", f.text("log-level"))}
	}
	return newLogger(cmd.ErrOrStderr(), f.text("log-format"), level)
}

func newLogger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, &usageError{fmt.Errorf("--log-format %s: use text or json", format)}
}

// variable returns the name of a flag's environment variable.
func variable(flag string) string {
	return "KAPPA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func nameVariables(f *pflag.FlagSet) {
	f.VisitAll(func(g *pflag.Flag) {
		if v := "[$" + variable(g.Name) + "]"; g.Name != "help" && g.Name != "version" && !strings.HasSuffix(g.Usage, v) {
			g.Usage += " " + v
		}
	})
}

// fromEnvironment sets the flags that the command line left alone.
func fromEnvironment(cmd *cobra.Command) error {
	var first error
	cmd.Flags().VisitAll(func(g *pflag.Flag) {
		value, there := os.LookupEnv(variable(g.Name))
		if g.Changed || !there || value == "" || g.Name == "help" || g.Name == "version" {
			return
		}
		if err := cmd.Flags().Set(g.Name, value); err != nil && first == nil {
			first = fmt.Errorf("environment variable %s: %w", variable(g.Name), err)
		}
	})
	return first
}
