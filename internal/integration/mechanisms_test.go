package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
)

// A real broker accepts what the engine says by each mechanism that Kafka has.
func TestARealBrokerAcceptsEachMechanism(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Kafka(t, testenv.Options{Users: map[string]string{"ann": "of ann"}}))
	r.scramUser("ann", "of ann")
	for _, kind := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId} {
		r.allow("ann", right{kind, "*", kmsg.ACLOperationAll})
	}
	for name, sasl := range map[string]*kafka.SASLConfig{
		"plain":       {Mechanism: kafka.Plain, User: "ann", Password: "of ann"},
		"scram-256":   {Mechanism: kafka.ScramSHA256, User: "ann", Password: "of ann"},
		"scram-512":   {Mechanism: kafka.ScramSHA512, User: "ann", Password: "of ann"},
		"oauthbearer": {Mechanism: kafka.OAuthBearer, Token: unsigned("ann", time.Now().Add(time.Hour))},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.with(sasl)
			s.t = t
			in, out, group := s.topic("in-"+name, 2), s.topic("out-"+name, 2), s.name("g-"+name)
			s.emit(numbers(in, 200, 20)...)
			e := s.start(s.fast(t.TempDir()), announcing(group, in, out))
			s.processed(200, group, e)
			s.stop(e)
			s.equal("table", s.table(group+"-table"), countsOf(200, 20))
			s.equal("output", s.announced(out), announcedBy(200, 20))
		})
	}
	for name, sasl := range map[string]*kafka.SASLConfig{
		"a wrong password":  {Mechanism: kafka.ScramSHA512, User: "ann", Password: "guess"},
		"an expired token":  {Mechanism: kafka.OAuthBearer, Token: unsigned("ann", time.Now().Add(-time.Hour))},
		"a token of no jwt": {Mechanism: kafka.OAuthBearer, Token: "guess"},
	} {
		k, err := kafka.Open(t.Context(), kafka.Config{Brokers: r.env.SASLBrokers(), SASL: sasl, ConnectTimeout: 2 * time.Second})
		if err == nil {
			k.Close()
		}
		t.Run(name, func(t *testing.T) { says(t, err, "mechanism and credentials") })
	}
}

// unsigned is a JWT without signature.
func unsigned(subject string, expires time.Time) string {
	part := func(format string, a ...any) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, format, a...))
	}
	return part(`{"alg":"none"}`) + "." +
		part(`{"sub":%q,"iat":%d,"exp":%d}`, subject, expires.Add(-2*time.Hour).Unix(), expires.Unix()) + "."
}

// scramUser makes credentials for both SCRAM mechanisms.
func (r *rig) scramUser(name, password string) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		user := kadm.UpsertSCRAM{User: name, Mechanism: m, Iterations: 4096, Password: password}
		done, err := kadm.NewClient(cl).AlterUserSCRAMs(r.ctx, nil, []kadm.UpsertSCRAM{user})
		if err == nil {
			err = done.Error()
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// No server of AWS can be had here: a broker at the wire checks the statement that
// MSK's documentation describes, signed by version 4 for the service kafka-cluster.
func TestAWSMSKIAMStatesWhoConnectsWhere(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-north-1") // the broker's name does not say it
	env := testenv.Fake(t)
	var accepted, refused atomic.Int32
	env.Fake().ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		env.Fake().KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.SupportedMechanisms = []string{"AWS_MSK_IAM"}
		if req.(*kmsg.SASLHandshakeRequest).Mechanism != "AWS_MSK_IAM" {
			resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return resp, nil, true
	})
	env.Fake().ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		env.Fake().KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if err := mskStatement(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes); err != nil {
			refused.Add(1)
			resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr(err.Error())
			return resp, nil, true
		}
		accepted.Add(1)
		resp.SASLAuthBytes = []byte(`{"version":"2020_10_22"}`)
		return resp, nil, true
	})
	open := func(sasl kafka.SASLConfig) error {
		sasl.Mechanism = kafka.AWSMSKIAM
		k, err := kafka.Open(t.Context(), kafka.Config{Brokers: env.Brokers(), SASL: &sasl, ConnectTimeout: 2 * time.Second})
		if err == nil {
			k.Close()
		}
		return err
	}
	if err := open(kafka.SASLConfig{AccessKey: "AKIDEXAMPLE", SecretKey: "secret", SessionToken: "of the session"}); err != nil || accepted.Load() == 0 || refused.Load() != 0 {
		t.Fatalf("%v; %d connections accepted, %d refused", err, accepted.Load(), refused.Load())
	}
	says(t, open(kafka.SASLConfig{AccessKey: "AKIDOTHER", SecretKey: "secret"}), "check the SASL mechanism and credentials")
}

// mskStatement checks the fields that the client's first message must have.
func mskStatement(message []byte) error {
	var fields map[string]string
	if err := json.NewDecoder(bytes.NewReader(message)).Decode(&fields); err != nil {
		return err
	}
	for field, want := range map[string]string{
		"version":              "2020_10_22",
		"action":               "kafka-cluster:Connect",
		"host":                 "127.0.0.1",
		"user-agent":           "kappa",
		"x-amz-algorithm":      "AWS4-HMAC-SHA256",
		"x-amz-security-token": "of the session",
		"x-amz-signedheaders":  "host",
	} {
		if fields[field] != want {
			return fmt.Errorf("%s is %q, not %q", field, fields[field], want)
		}
	}
	who := fields["x-amz-credential"]
	if !strings.HasPrefix(who, "AKIDEXAMPLE/") || !strings.HasSuffix(who, "/eu-north-1/kafka-cluster/aws4_request") {
		return fmt.Errorf("credential %q", who)
	}
	if len(fields["x-amz-signature"]) != 64 {
		return fmt.Errorf("signature %q", fields["x-amz-signature"])
	}
	return nil
}
