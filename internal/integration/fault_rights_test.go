package integration

import (
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/topology"
)

// right is something that an ACL allows.
type right struct {
	kind kmsg.ACLResourceType
	name string // a prefix where it ends with *; * alone is everything
	op   kmsg.ACLOperation
}

// allow makes an ACL for each right.
func (r *rig) allow(user string, rights ...right) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, x := range rights {
		name, pattern := x.name, kadm.ACLPatternLiteral
		if n := len(name) - 1; n > 0 && name[n] == '*' {
			name, pattern = name[:n], kadm.ACLPatternPrefixed
		}
		b := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").Operations(x.op).ResourcePatternType(pattern)
		switch x.kind {
		case kmsg.ACLResourceTypeTopic:
			b.Topics(name)
		case kmsg.ACLResourceTypeGroup:
			b.Groups(name)
		case kmsg.ACLResourceTypeTransactionalId:
			b.TransactionalIDs(name)
		}
		results, err := adm.CreateACLs(r.ctx, b)
		if err == nil {
			err = results[0].Err
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// as returns a rig whose cluster is that of a user.
func (r *rig) as(user string) *rig {
	r.t.Helper()
	return r.with(&kafka.SASLConfig{Mechanism: kafka.Plain, User: user, Password: "of " + user})
}

// with returns a rig whose cluster is reached with the credentials.
func (r *rig) with(sasl *kafka.SASLConfig) *rig {
	r.t.Helper()
	k, err := kafka.Open(r.ctx, kafka.Config{Brokers: r.env.SASLBrokers(), Log: quiet(r.t), SASL: sasl})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(k.Close)
	s := *r
	s.k = k
	return &s
}

// What the principal may not do is named before the first record, with what to
// grant; with just the rights that the documentation names everything works.
func TestMissingPermissionsAreNamedBeforeTheFirstRecord(t *testing.T) {
	t.Parallel()
	users := []string{"all", "noread", "nodescribe", "nowrite", "nodead", "notable", "nocreate", "notxn", "nogroup", "nocontrol"}
	passwords := map[string]string{}
	for _, u := range users {
		passwords[u] = "of " + u
	}
	r := newRig(t, testenv.Kafka(t, testenv.Options{Users: passwords}))
	in, out, dead := r.topic("in", 2), r.topic("out", 2), r.topic("dead", 2)
	r.emit(numbers(in, 10, 3)...)

	const (
		topic, group, txn                  = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId
		read, write, create, describe, del = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe, kmsg.ACLOperationDelete
	)
	configs := kmsg.ACLOperationDescribeConfigs
	rights := func(g string) []right {
		return []right{
			{topic, in, read}, {topic, in, describe}, {topic, in, configs}, {topic, out, write}, {topic, dead, write},
			{topic, "kappa-control", read}, {topic, "kappa-control", write}, {topic, "kappa-control", create}, {topic, "kappa-control", configs},
			{topic, g + "-*", read}, {topic, g + "-*", write}, {topic, g + "-*", create}, {topic, g + "-*", del}, {topic, g + "-*", configs},
			{txn, g + ".*", write}, {txn, g + ".*", describe},
			{group, g, read},
		}
	}
	for _, c := range []struct {
		user    string
		without func(g string) []right
		says    []string
	}{
		{"noread", func(string) []right { return []right{{topic, in, read}} },
			[]string{"topic " + in + ": the input must not be accessed: Read is not allowed; grant Read on it to this principal"}},
		{"nodescribe", func(string) []right { return []right{{topic, in, read}, {topic, in, describe}, {topic, in, configs}} },
			[]string{"topic " + in + ": TOPIC_AUTHORIZATION_FAILED", "; grant Describe and Read on it to this principal"}},
		{"nowrite", func(string) []right { return []right{{topic, out, write}} },
			[]string{"topic " + out + ": ", "; grant Describe and Write on it to this principal"}},
		{"nodead", func(string) []right { return []right{{topic, dead, write}} },
			[]string{"topic " + dead + ": ", "; grant Describe and Write on it to this principal"}},
		{"notable", func(g string) []right { return []right{{topic, g + "-*", write}} },
			[]string{"-table: the group table must not be accessed: Write is not allowed; grant Write on it to this principal", "-state: the state topic must not be accessed"}},
		{"nocreate", func(g string) []right { return []right{{topic, g + "-*", create}} },
			[]string{"-state", "create", "grant Create"}},
		{"notxn", func(g string) []right { return []right{{txn, g + ".*", write}, {txn, g + ".*", describe}} },
			[]string{"initialize producer", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "grant Write and Describe on transactional ids that begin with the group's name"}},
		{"nogroup", func(g string) []right { return []right{{group, g, read}} },
			[]string{"GROUP_AUTHORIZATION_FAILED", "grant Read on the group to this user"}},
		{"nocontrol", func(string) []right { return []right{{topic, "kappa-control", write}} },
			[]string{"alias", "write to kappa-control", "TOPIC_AUTHORIZATION_FAILED", "(grant Write on the topic)"}},
		{"all", func(string) []right { return nil }, nil},
	} {
		t.Run(c.user, func(t *testing.T) {
			s := *r
			s.t = t
			name := s.name(c.user)
			s.allow(c.user, except(rights(name), c.without(name))...)
			u := s.as(c.user)
			if c.user == "nogroup" {
				e := u.start(u.fast(""), unread(t, name, in, topology.Output(goka.Stream(out), new(gcodec.String)), topology.DeadLetter(goka.Stream(dead))))
				u.failed(e, append(c.says, "group "+name)...)
				return
			}
			if c.says != nil {
				u.refused(u.fast(""), unread(t, name, in, topology.Output(goka.Stream(out), new(gcodec.String)), topology.DeadLetter(goka.Stream(dead))), append(c.says, "group "+name)...)
				return
			}
			e := u.start(u.fast(""), counting(name, in, topology.Output(goka.Stream(out), new(gcodec.String)), topology.DeadLetter(goka.Stream(dead))))
			u.processed(10, name, e)
			u.stop(e)
			s.equal("table", s.table(name+"-table"), countsOf(10, 3))
		})
	}
}

func TestAWrongPasswordIsNamed(t *testing.T) {
	t.Parallel()
	c := testenv.Kafka(t, testenv.Options{Users: map[string]string{"ann": "of ann"}})
	for _, s := range []kafka.SASLConfig{
		{Mechanism: kafka.Plain, User: "ann", Password: "guess"},
		{Mechanism: kafka.Plain, User: "bob", Password: "of ann"},
		{Mechanism: kafka.ScramSHA256, User: "ann", Password: "of ann"},
	} {
		begun := time.Now()
		k, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.SASLBrokers(), SASL: &s})
		if err == nil {
			k.Close()
		}
		says(t, err, "connect to kafka at "+c.SASLBrokers()[0], "SASL", "(check the SASL mechanism and credentials)")
		if d := time.Since(begun); d > 5*time.Second {
			t.Errorf("%s, %s: it took %v to say so", s.Mechanism, s.User, d)
		}
	}
}

func except(all, not []right) []right {
	var out []right
next:
	for _, x := range all {
		for _, n := range not {
			if x == n {
				continue next
			}
		}
		out = append(out, x)
	}
	return out
}
