package topology_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-rewrite writes it anew); got:\n%s", name, got)
	}
}

type click struct {
	User string `json:"user"`
}

// chain is two groups, the first of which has every kind of edge.
func chain(t *testing.T) topology.Descriptions {
	t.Helper()
	plans, err := topology.Build(
		topology.Group("clicks-per-user",
			topology.Input("clicks", schema.Boxed(schema.JSON[click]()), count),
			topology.Input("logins", userCodec{}, count),
			topology.Persist(num),
			topology.Join("users-table", text),
			topology.Lookup("countries", text),
			topology.Loop(text, count),
			topology.StoreOf("seen", schema.Int64()),
			topology.Output("alerts", text),
			topology.Visitor("reset", nothing),
			topology.DeadLetter("clicks-dead"),
			topology.StartAt(topology.Latest),
			topology.WithHasher(record.Murmur2),
			topology.ProcessNil(),
		),
		topology.Group("alert", topology.InputOf("alerts", schema.String(), nil, func(*processors.Typed[struct{}], string) {})),
	)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Describe(plans...)
}

type userCodec struct{ goka.Codec }

func TestDescribeText(t *testing.T)    { golden(t, "describe.txt", chain(t).String()) }
func TestDescribeJSON(t *testing.T)    { golden(t, "describe.json", chain(t).JSON()) }
func TestDescribeMermaid(t *testing.T) { golden(t, "describe.mmd", chain(t).Mermaid()) }

func TestADescriptionHasTheSameFormsAsMany(t *testing.T) {
	d := chain(t)[1]
	golden(t, "describe_one.txt", d.String()+"---\n"+d.JSON()+"---\n"+d.Mermaid())
}
