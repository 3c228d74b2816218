package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

func TestOpenLearnsTheClusterAndItsFeatures(t *testing.T) {
	c := testCluster(t)
	if c.ID() == "" {
		t.Error("no cluster id")
	}
	if v := c.TransactionVersion(); v < 1 || v > 2 {
		t.Errorf("transaction version %d", v)
	}
}

func TestOpenNamesBrokersAndCause(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = Open(testContext(t), Config{Brokers: []string{addr}, ConnectTimeout: 300 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "is the broker running") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{Brokers: []string{addr}}); err == nil {
		t.Error("opened without a broker")
	}
}

func TestAllMistakesOfAConfigurationAreNamed(t *testing.T) {
	err := Config{
		Brokers: []string{"kafka://b:9092", "b:9092"},
		TLS:     &TLSConfig{CAFile: "nowhere.pem"},
		SASL:    &SASLConfig{Mechanism: ScramSHA256, User: "u"},
	}.Validate()
	for _, want := range []string{`"kafka://b:9092"`, "nowhere.pem", "SCRAM-SHA-256: missing password"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for _, c := range []Config{
		{},
		{Brokers: []string{" "}},
		{Brokers: []string{"b"}, SASL: &SASLConfig{Mechanism: "KERBEROS"}},
		{Brokers: []string{"b"}, TLS: &TLSConfig{CertFile: "c"}},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v passes", c)
		}
	}
	for _, s := range []SASLConfig{
		{Mechanism: Plain, User: "u", Password: "p"},
		{Mechanism: ScramSHA512, User: "u", Password: "p"},
		{Mechanism: OAuthBearer, Token: "t"},
		{Mechanism: AWSMSKIAM, AccessKey: "a", SecretKey: "s"},
	} {
		if err := (Config{Brokers: []string{"b:1"}, SASL: &s}).Validate(); err != nil {
			t.Error(err)
		}
		wantEqual(t, "mechanism", s.mechanism().Name(), string(s.Mechanism))
	}
}

func TestPasswordsOpenTheDoor(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"),
		kfake.Superuser("SCRAM-SHA-256", "u", "p"), kfake.Superuser("SCRAM-SHA-512", "u", "p"))
	for _, m := range []Mechanism{Plain, ScramSHA256, ScramSHA512} {
		c, err := Open(testContext(t), Config{Brokers: fake.ListenAddrs(), SASL: &SASLConfig{Mechanism: m, User: "u", Password: "p"}})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		_, err = Open(testContext(t), Config{Brokers: fake.ListenAddrs(), ConnectTimeout: 300 * time.Millisecond,
			SASL: &SASLConfig{Mechanism: m, User: "u", Password: "wrong"}})
		if err == nil || !strings.Contains(err.Error(), "credentials") {
			t.Errorf("%s with a wrong password: %v", m, err)
		}
	}
}

func TestCertificatesOpenTheDoor(t *testing.T) {
	dir := t.TempDir()
	ca, server := certificate(t, dir)
	fake := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca,
	}))
	ok := TLSConfig{CAFile: dir + "/cert.pem", CertFile: dir + "/cert.pem", KeyFile: dir + "/key.pem"}
	open := func(tc *TLSConfig) error {
		c, err := Open(testContext(t), Config{Brokers: fake.ListenAddrs(), TLS: tc, ConnectTimeout: time.Second})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := open(&ok); err != nil {
		t.Error(err)
	}
	if err := open(&TLSConfig{SkipVerify: true, CertFile: ok.CertFile, KeyFile: ok.KeyFile}); err != nil {
		t.Error(err)
	}
	if err := open(&TLSConfig{CAFile: ok.CAFile}); err == nil {
		t.Error("opened without a client certificate")
	}
	if err := open(&TLSConfig{CertFile: ok.CertFile, KeyFile: ok.KeyFile}); err == nil || !strings.Contains(err.Error(), "check the TLS settings") {
		t.Errorf("with unknown roots: %v", err)
	}
}

// certificate makes a key and a certificate signed by itself, for 127.0.0.1.
func certificate(t *testing.T, dir string) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	pair, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	return pool, pair
}

// A broker that is killed, or starts, may close a connection before it has answered
// anything. That says nothing of the settings once they have been seen to be right.
func TestConnectionsThatEndAtTheirBeginAreTriedAgain(t *testing.T) {
	t.Parallel()
	env := testenv.Fake(t)
	var dying atomic.Int32
	c, err := Open(testContext(t), Config{Brokers: env.Brokers(), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && dying.Add(-1) >= 0 {
			conn = endedConn{conn}
		}
		return conn, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dying.Store(2)
	env.Restart(1) // all connections are new ones
	if _, err := c.Topics(testContext(t), "none"); err != nil {
		t.Error(err)
	}
	if n := dying.Load(); n > 0 {
		t.Errorf("%d connections were to end and did not", n)
	}
}

// endedConn is closed by the other side before it says anything.
type endedConn struct{ net.Conn }

func (endedConn) Read([]byte) (int, error) { return 0, io.EOF }
