package testenv

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkpoint is the file with the records that a new cluster starts from.
const checkpoint = "bootstrap.checkpoint"

// layout is one node's place: its files and ports, the same over restarts.
type layout struct {
	id         int
	port       int // for clients
	saslPort   int // for users, 0 without
	cluster    string
	voters     string
	data       string // directory
	properties string // file
	log        string // file
}

func (l layout) addr() string { return fmt.Sprintf("127.0.0.1:%d", l.port) }

func (l layout) saslAddr() string { return fmt.Sprintf("127.0.0.1:%d", l.saslPort) }

// layOut chooses ports and files for the nodes of a new cluster below dir.
func layOut(o Options, dir string) ([]layout, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(3 * o.Nodes)
	if err != nil {
		return nil, err
	}
	cluster := newClusterID()
	var voters []string
	for i := range o.Nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[3*i+1]))
	}
	var out []layout
	for i := range o.Nodes {
		file := func(kind string) string { return filepath.Join(dir, fmt.Sprintf("node%d%s", i+1, kind)) }
		l := layout{
			id: i + 1, port: ports[3*i], cluster: cluster, voters: strings.Join(voters, ","),
			data: file(""), properties: file(".properties"), log: file(".log"),
		}
		if len(o.Users) > 0 {
			l.saslPort = ports[3*i+2]
		}
		out = append(out, l)
	}
	return out, nil
}

// newClusterID returns a random id in Kafka's spelling: 16 bytes in base64, not
// beginning with a dash.
func newClusterID() string {
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// write formats the node's empty data directory, as StorageTool would, and writes its
// properties.
func (l layout) write(inst installation, o Options) error {
	if err := os.MkdirAll(l.data, 0o755); err != nil {
		return err
	}
	features, err := os.ReadFile(inst.path(inst.formatted(o.TransactionVersion)))
	if err != nil {
		return err
	}
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", l.cluster, l.id, newClusterID())
	for name, data := range map[string][]byte{
		filepath.Join(l.data, checkpoint):        features,
		filepath.Join(l.data, "meta.properties"): []byte(meta),
		l.properties:                             []byte(l.render(o)),
	} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render returns the properties file's text, sorted.
func (l layout) render(o Options) string {
	p := l.defaults(o.Nodes)
	if len(o.Users) > 0 {
		l.secure(p, o.Users)
	}
	maps.Copy(p, o.Properties)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, p[k])
	}
	return b.String()
}

// defaults are the properties of a node that is small and quick: few threads and
// partitions for internal topics, no waiting for more members, dead transactions
// swept each second instead of every tenth.
func (l layout) defaults(nodes int) map[string]string {
	// A killed broker is let in again when its session has ended.
	replicas, insync, session, heartbeat := "1", "1", "3000", "500"
	if nodes == 3 {
		replicas, insync, session, heartbeat = "3", "2", "6000", "1000"
	}
	control := voterAddr(l.voters, l.id)
	return map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  fmt.Sprint(l.id),
		"controller.quorum.voters":                 l.voters,
		"listeners":                                "PLAINTEXT://" + l.addr() + ",CONTROLLER://" + control,
		"advertised.listeners":                     "PLAINTEXT://" + l.addr(),
		"controller.listener.names":                "CONTROLLER",
		"inter.broker.listener.name":               "PLAINTEXT",
		"listener.security.protocol.map":           "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs":                                 l.data,
		"default.replication.factor":               replicas,
		"min.insync.replicas":                      insync,
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.min.isr":            insync,
		"transaction.state.log.num.partitions":     "4",
		"transaction.state.log.replication.factor": replicas,
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
		"share.coordinator.state.topic.replication.factor":            replicas,
		"share.coordinator.state.topic.min.isr":                       insync,
		"share.coordinator.state.topic.num.partitions":                "1",
		"group.initial.rebalance.delay.ms":                            "0",
		"group.min.session.timeout.ms":                                fmt.Sprint(minSession.Milliseconds()),
		"broker.heartbeat.interval.ms":                                heartbeat,
		"broker.session.timeout.ms":                                   session,
		"num.network.threads":                                         "2",
		"num.io.threads":                                              "2",
		"log.cleaner.dedupe.buffer.size":                              "16777216",
		"auto.create.topics.enable":                                   "false",
	}
}

// secure adds a listener for users, and an authorizer that lets them do nothing by
// default; whoever comes by another listener, the nodes too, may do everything. Tokens
// of OAUTHBEARER need no signature: Kafka's own validator for development reads them.
func (l layout) secure(p map[string]string, users map[string]string) {
	p["listeners"] += ",SASL://" + l.saslAddr()
	p["advertised.listeners"] += ",SASL://" + l.saslAddr()
	p["listener.security.protocol.map"] += ",SASL:SASL_PLAINTEXT"
	p["listener.name.sasl.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
	const security = "org.apache.kafka.common.security."
	plain := security + "plain.PlainLoginModule required"
	for _, name := range slices.Sorted(maps.Keys(users)) {
		plain += fmt.Sprintf(" user_%s=%q", name, users[name])
	}
	for mechanism, module := range map[string]string{
		"plain":         plain,
		"scram-sha-256": security + "scram.ScramLoginModule required",
		"scram-sha-512": security + "scram.ScramLoginModule required",
		"oauthbearer":   security + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"`,
	} {
		p["listener.name.sasl."+mechanism+".sasl.jaas.config"] = module + ";"
	}
	p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	p["super.users"] = "User:ANONYMOUS"
}

// voterAddr finds the controller's address of a node in the list of voters.
func voterAddr(voters string, id int) string {
	for v := range strings.SplitSeq(voters, ",") {
		if addr, ok := strings.CutPrefix(v, fmt.Sprintf("%d@", id)); ok {
			return addr
		}
	}
	return ""
}
