package kappa

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/topology"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func clicksPerUser() *topology.Def { return countClicks("clicks-per-user") }

func countClicks(group goka.Group) *topology.Def {
	return topology.Group(group,
		topology.Input("clicks", new(codec.String), func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)
}

func clicks() App {
	return App{Name: "clicks", Short: "Count clicks per user", Groups: []*topology.Def{clicksPerUser()}}
}

// run runs an app's verb as a shell would.
func run(t *testing.T, app App, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), app, args, &out, &errs)
	return code, out.String(), errs.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-rewrite writes it anew); got\n%s", path, got)
	}
}

// leaves are the verbs that do something, with the words that lead to them.
func leaves(c *cobra.Command, path ...string) [][]string {
	if len(path) > 0 && (path[0] == "help" || path[0] == "completion") {
		return nil
	}
	if !c.HasSubCommands() {
		return [][]string{path}
	}
	var all [][]string
	for _, child := range c.Commands() {
		all = append(all, leaves(child, append(path[:len(path):len(path)], child.Name())...)...)
	}
	return all
}

func TestHelp(t *testing.T) {
	for _, app := range []App{clicks(), {Name: "kappa", Short: "Look into the groups and tables of a Kafka cluster"}} {
		var all strings.Builder
		for _, verb := range append([][]string{nil}, leaves(newRoot(app))...) {
			args := append(verb, "--help")
			code, stdout, stderr := run(t, app, args...)
			if code != 0 || stderr != "" {
				t.Errorf("%v: code %d, stderr %s", args, code, stderr)
			}
			if len(verb) > 0 && !strings.Contains(stdout, "Examples:\n  "+app.Name+" ") {
				t.Errorf("%v has no example", args)
			}
			all.WriteString("$ " + strings.Join(append([]string{app.Name}, args...), " ") + "\n" + stdout + "\n")
		}
		golden(t, "help-"+app.Name, all.String())
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"lga"}, `unknown command "lga"`},
		{[]string{"view"}, "accepts between 1 and 2 arg(s)"},
		{[]string{"view", "t", "--codec", "xml"}, "--codec xml: use avro, json, int64, string or bytes"},
		{[]string{"view", "t", "--codec", "avro"}, "name the file of the schema with --schema"},
		{[]string{"run", "now"}, `unknown command "now" for "clicks run"`},
		{[]string{"run", "--memory", "much"}, `"much" is no size`},
		{[]string{"run", "--memory", "4"}, "--memory 4B: at least 1MiB is needed"},
		{[]string{"run", "--on-task-failure", "weep"}, "use exit or pause"},
		{[]string{"run", "--wrkers", "2"}, "unknown flag: --wrkers"},
		{[]string{"run", "--log-level", "loud"}, "--log-level loud: use debug, info, warn or error"},
		{[]string{"run", "--log-format", "xml"}, "--log-format xml: use text or json"},
		{[]string{"run", "--brokers", "kafka://x"}, "use host:port without a scheme"},
		{[]string{"lag", "--sasl", "KERBEROS"}, `unknown mechanism "KERBEROS"`},
		{[]string{"lag", "--sasl", "plain", "--sasl-user", "u"}, "missing password"},
		{[]string{"lag", "--tls-cert", "c.pem"}, "a client certificate and its key belong together"},
		{[]string{"topics", "create", "--partitions", "0"}, "--partitions 0: at least one is needed"},
		{[]string{"describe", "--format", "svg"}, "use text, json or mermaid"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			code, _, stderr := run(t, clicks(), test.args...)
			if code != 2 || !strings.Contains(stderr, test.want) || !strings.Contains(stderr, "hint: clicks") {
				t.Errorf("code %d, stderr:\n%s\nwant 2 and %s", code, stderr, test.want)
			}
		})
	}
}

func TestEnvironmentSetsFlagsThatTheCommandLineDoesNot(t *testing.T) {
	t.Setenv("KAPPA_BROKERS", "one:9092,two:9092")
	t.Setenv("KAPPA_STATE_DIR", "from-environment")
	t.Setenv("KAPPA_WORKERS", "3")
	t.Setenv("KAPPA_SASL", "plain")
	t.Setenv("KAPPA_SASL_USER", "u")
	t.Setenv("KAPPA_SASL_PASSWORD", "p")
	var got Options
	var to Connection
	look := &cobra.Command{Use: "run", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) (err error) {
		if to, err = connection(cmd); err == nil {
			got, err = runOptions("clicks", cmd)
		}
		return err
	}}
	runFlags(look.Flags())
	app := clicks()
	app.Commands = []*cobra.Command{look}
	if code, _, stderr := run(t, app, "run", "--workers", "5"); code != 0 {
		t.Fatal(stderr)
	}
	if got.StateDir != "from-environment" || got.Workers != 5 {
		t.Errorf("options %+v", got)
	}
	if strings.Join(to.Brokers, " ") != "one:9092 two:9092" || to.SASL == nil || to.SASL.Mechanism != "PLAIN" || to.TLS != nil {
		t.Errorf("connection %+v", to)
	}

	t.Setenv("KAPPA_WORKERS", "many")
	if code, _, stderr := run(t, clicks(), "run"); code != 2 || !strings.Contains(stderr, "environment variable KAPPA_WORKERS") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

func TestEnvironmentGivesRequiredFlags(t *testing.T) {
	t.Setenv("KAPPA_GROUP", "g")
	t.Setenv("KAPPA_BROKERS", "127.0.0.1:1")
	t.Setenv("KAPPA_CONNECT_TIMEOUT", "10ms")
	code, _, stderr := run(t, App{Name: "kappa"}, "leave", "host-7")
	if code != 1 || !strings.Contains(stderr, "connect to kafka at 127.0.0.1:1") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

func TestOwnCommandsReplaceBuiltins(t *testing.T) {
	said := func(what string) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), what)
			return nil
		}
	}
	topics := &cobra.Command{Use: "topics"}
	topics.AddCommand(&cobra.Command{Use: "create", RunE: said("own create")})
	app := clicks()
	app.Commands = []*cobra.Command{topics, {Use: "lag", RunE: said("own lag")}, {Use: "feed", RunE: said("feed")}}
	for args, want := range map[string]string{"topics create": "own create\n", "lag": "own lag\n", "feed": "feed\n"} {
		if code, stdout, _ := run(t, app, strings.Fields(args)...); code != 0 || stdout != want {
			t.Errorf("%s: code %d, said %q, want %q", args, code, stdout, want)
		}
	}
	if code, stdout, _ := run(t, app, "topics", "list", "--help"); code != 0 || !strings.Contains(stdout, "clicks topics list") {
		t.Error("topics list is gone")
	}
}

func TestDescribe(t *testing.T) {
	for _, format := range []string{"text", "json", "mermaid"} {
		code, stdout, stderr := run(t, clicks(), "describe", "--format", format)
		if code != 0 {
			t.Fatal(stderr)
		}
		golden(t, "describe-"+format, stdout)
	}
	_, want, _ := run(t, clicks(), "describe", "--format", "json")
	if _, got, _ := run(t, clicks(), "describe", "--json"); got != want {
		t.Error("--json is not --format json")
	}
}

func TestMistakesInATopologyAreNamed(t *testing.T) {
	app := App{Name: "clicks", Groups: []*topology.Def{topology.Group("g")}}
	if code, _, stderr := run(t, app, "describe"); code != 1 || !strings.Contains(stderr, "input") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

func TestCompletionIsOffered(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := run(t, clicks(), "completion", shell); code != 0 || !strings.Contains(stdout, "clicks") {
			t.Errorf("%s: code %d", shell, code)
		}
	}
}

func TestInterruptedVerbFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := Run(ctx, clicks(), []string{"lag", "--brokers", "127.0.0.1:1"}, &out, &errs); code != 1 {
		t.Errorf("code %d, stderr %s", code, errs.String())
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"512MiB": 512 << 20, "2GB": 2e9, "2 GiB": 2 << 30, "1048576": 1 << 20, "7B": 7, "3kB": 3000, "0": 0,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "-1", "1TB", "MiB", "1.5GiB", "9999999999GiB"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
	for b, want := range map[byteSize]string{256 << 20: "256MiB", 1 << 30: "1GiB", 1500: "1500B", 0: "0B"} {
		if got := b.String(); got != want {
			t.Errorf("%d is %s, want %s", b, got, want)
		}
	}
}

func TestLogFormats(t *testing.T) {
	var b bytes.Buffer
	log, err := newLogger(&b, "json", slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("no")
	log.Info("yes")
	if got := b.String(); !strings.HasPrefix(got, "{") || strings.Contains(got, "no") {
		t.Error(got)
	}
}

func TestARunThatIsStoppedBeforeItHasConnectedEndsInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := Run(ctx, clicks(), []string{"run", "--brokers", "127.0.0.1:1"}, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if code := Run(ctx, clicks(), []string{"lag", "--brokers", "127.0.0.1:1"}, &out, &errs); code == 0 {
		t.Error("a verb that has an answer to give ends well without one")
	}
}
