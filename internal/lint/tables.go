package lint

// floors says on which floor a package stands, by its path inside the module ("." is
// the root). A package imports only from lower floors. A path that ends with a slash
// covers all packages below it. docs/adr/0005-floors.md tells why they are as they are.
var floors = map[string]float64{
	"record":                 0,
	"internal/lint":          0,
	"internal/kafka/balance": 0.5,
	"archive/bucket":         0.5,
	"schema":                 1,
	"archive":                1,
	"state":                  1,
	"internal/kafka":         1,
	"state/pebble":           1.5,
	"state/changelog":        1.5,
	"state/statetest":        1.5,
	"internal/testenv":       1.5,
	"archive/buckettest":     1.6,
	"processors":             2,
	"sources":                2,
	"sources/kafka":          2.5,
	"sources/sourcetest":     2.5,
	"sources/tiered":         2.5,
	"internal/control":       2,
	"topology":               3,
	"internal/engine/task":   4,
	"internal/engine":        5,
	"internal/archiver":      5,
	"internal/reset":         5,
	"topology/topologytest":  5,
	"views":                  5,
	"internal/metrics":       6,
	"internal/web":           6,
	"internal/dev":           6,
	".":                      7,
	"cmd/":                   8,
	"examples/":              8,
	"internal/bench":         9,
	"internal/integration":   9,
	"internal/chaos":         9,
}

// testRooms are there for tests: other packages import them in tests only, and tests
// of lower floors may.
var testRooms = map[string]bool{
	"archive/buckettest":         true,
	"examples/internal/pasttest": true,
	"internal/bench":             true,
	"internal/chaos":             true,
	"internal/integration":       true,
	"internal/lint":              true,
	"internal/testenv":           true,
	"sources/sourcetest":         true,
	"state/statetest":            true,
	"topology/topologytest":      true,
}

// owners names the packages that may import a module outside of tests; the longest
// prefix counts. What is not here, nobody may import. Modules with no owner are for
// tests only.
var owners = map[string][]string{
	"github.com/twmb/franz-go":            {"internal/kafka", "internal/kafka/balance", "internal/testenv"},
	"github.com/twmb/franz-go/pkg/kfake":  {"internal/dev", "internal/testenv"},
	"github.com/cockroachdb/pebble/v2":    {"state/pebble"},
	"github.com/hamba/avro/v2":            {"schema"},
	"google.golang.org/protobuf":          {"schema"},
	"github.com/lovoo/goka":               {"processors", "topology", "topology/topologytest", "internal/engine/task", "examples/"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"gocloud.dev":                         {"archive", "archive/bucket"},
	"github.com/johannesboyne/gofakes3":   {"archive/buckettest"},
	"github.com/IBM/sarama":               {}, // what stock goka runs on, for tests beside it
	"github.com/prometheus/client_model":  {},
	"github.com/spf13/cobra":              {".", "cmd/", "examples/"},
	"github.com/spf13/pflag":              {".", "cmd/", "examples/"},
	// Parts of the standard library that are as telling as a module.
	"net/http": {"internal/web", "internal/metrics", ".", "archive/buckettest"},
	"testing":  {"archive/buckettest", "examples/internal/pasttest", "internal/testenv", "sources/sourcetest", "state/statetest", "topology/topologytest"},
	"log":      {}, // log/slog
	"expvar":   {},
	"unsafe":   {"schema"}, // boxes.go alone: goka's callbacks take integers as any
}

// stdlib are the parts of the standard library that owners restricts: their own
// children (log/slog, testing/iotest) are others.
var stdlib = map[string]bool{"net/http": true, "testing": true, "log": true, "expvar": true, "unsafe": true}

// goroutines lists where go statements may stand: each there is waited for by who
// started it.
var goroutines = []string{
	"archive",
	"internal/kafka", "internal/control", "internal/testenv", "internal/engine", "internal/archiver", "internal/reset", "internal/metrics",
	"internal/web", "internal/dev", "views", ".", "cmd/", "examples/",
}

// clockless lists where no clock is read: time comes in with the call.
var clockless = []string{
	"record", "schema", "state", "state/changelog", "processors", "topology", "internal/engine/task",
}

// panickers lists where panic may be called; docs/adr/0004-panics.md says when.
var panickers = []string{
	"internal/engine/task", // goka's Context.Fail ends the callback
}

// globalCalls are what a package must not use of others' package-level state.
var globalCalls = []string{
	"prometheus.MustRegister", "prometheus.Register", "prometheus.DefaultRegisterer", "prometheus.DefaultGatherer",
	"http.DefaultServeMux", "http.Handle", "http.HandleFunc", "http.DefaultClient", "http.Get", "http.Post",
	"slog.SetDefault", "flag.Parse",
}
