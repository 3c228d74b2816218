package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate of the name, signed by the authority or by itself, and
// leaves it in <name>.crt and <name>.key.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for ext, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(a.dir, name+ext), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// server is a broker's side: it asks clients for a certificate of the authority
// where mutual.
func (a *authority) server(mutual bool, c *x509.Certificate) *tls.Config {
	a.t.Helper()
	a.sign("broker", c)
	pair, err := tls.LoadX509KeyPair(a.file("broker.crt"), a.file("broker.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}}
	if mutual {
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		conf.ClientCAs.AddCert(a.cert)
	}
	return conf
}

// Every client of the engine, the member and the producers as well, speaks as the
// configuration says: a group counts over TLS, mutual TLS, and each mechanism.
func TestGroupsRunOverEncryptedAndAuthenticatedConnections(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	ca.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	one := &kafka.TLSConfig{CAFile: ca.file("ca.crt"), ServerName: "broker.test"}
	mutual := &kafka.TLSConfig{CAFile: ca.file("ca.crt"), ServerName: "broker.test", CertFile: ca.file("client.crt"), KeyFile: ca.file("client.key")}
	names := func() *x509.Certificate { return &x509.Certificate{DNSNames: []string{"broker.test"}} }
	user := func(m kafka.Mechanism) *kafka.SASLConfig {
		return &kafka.SASLConfig{Mechanism: m, User: "ann", Password: "of ann"}
	}
	for name, c := range map[string]struct {
		server *tls.Config
		tls    *kafka.TLSConfig
		sasl   *kafka.SASLConfig
	}{
		"tls":                   {ca.server(false, names()), one, nil},
		"mutual tls":            {ca.server(true, names()), mutual, nil},
		"plain":                 {nil, nil, user(kafka.Plain)},
		"scram 256":             {nil, nil, user(kafka.ScramSHA256)},
		"scram 512 over tls":    {ca.server(false, names()), one, user(kafka.ScramSHA512)},
		"plain over mutual tls": {ca.server(true, names()), mutual, user(kafka.Plain)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []kfake.Opt
			if c.server != nil {
				opts = append(opts, kfake.TLS(c.server))
			}
			if c.sasl != nil {
				opts = append(opts, kfake.EnableSASL(), kfake.Superuser(string(c.sasl.Mechanism), c.sasl.User, c.sasl.Password))
			}
			env := testenv.Fake(t, opts...)
			r := &rig{t: t, env: env, prefix: testenv.Name(t)}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			t.Cleanup(cancel)
			k, err := kafka.Open(ctx, kafka.Config{Brokers: env.Brokers(), TLS: c.tls, SASL: c.sasl, Log: quiet(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			r.ctx, r.k = ctx, k
			in, out, group := r.topic("in", 3), r.topic("out", 2), r.name("g")
			r.emit(numbers(in, 500, 20)...)
			e := r.start(r.fast(t.TempDir()), announcing(group, in, out))
			r.processed(500, group, e)
			r.stop(e)
			r.equal("table", r.table(group+"-table"), countsOf(500, 20))
			r.equal("output", r.announced(out), announcedBy(500, 20))
		})
	}
}

// What does not match is refused, and the error says what to look at.
func TestConnectionsThatDoNotMatchAreRefusedByName(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	ca.sign("client", &x509.Certificate{})
	other.sign("client", &x509.Certificate{})
	names := &x509.Certificate{DNSNames: []string{"broker.test"}}
	encrypted := testenv.Fake(t, kfake.TLS(ca.server(false, names))).Brokers()
	mutual := testenv.Fake(t, kfake.TLS(ca.server(true, names))).Brokers()
	expired := testenv.Fake(t, kfake.TLS(ca.server(false, &x509.Certificate{DNSNames: names.DNSNames, NotAfter: time.Now().Add(-time.Minute)}))).Brokers()
	open := testenv.Fake(t).Brokers()
	scram := testenv.Fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "ann", "of ann")).Brokers()

	trusted := kafka.TLSConfig{CAFile: ca.file("ca.crt"), ServerName: "broker.test"}
	with := func(change func(*kafka.TLSConfig)) *kafka.TLSConfig {
		c := trusted
		change(&c)
		return &c
	}
	sasl := func(m kafka.Mechanism, password string) *kafka.SASLConfig {
		return &kafka.SASLConfig{Mechanism: m, User: "ann", Password: password}
	}
	for name, c := range map[string]struct {
		config kafka.Config
		says   []string
	}{
		"a certificate of another authority": {
			kafka.Config{Brokers: encrypted, TLS: with(func(c *kafka.TLSConfig) { c.CAFile = other.file("ca.crt") })},
			[]string{"tls handshake", "x509", "check the TLS settings"},
		},
		"a certificate of another name": {
			kafka.Config{Brokers: encrypted, TLS: with(func(c *kafka.TLSConfig) { c.ServerName = "else.test" })},
			[]string{"broker.test, not else.test", "check the TLS settings"},
		},
		"an expired certificate": {
			kafka.Config{Brokers: expired, TLS: &trusted},
			[]string{"expired", "check the TLS settings"},
		},
		"no client certificate": {
			kafka.Config{Brokers: mutual, TLS: &trusted},
			[]string{"certificate required", "check the TLS settings"},
		},
		"a client certificate of another authority": {
			kafka.Config{Brokers: mutual, TLS: with(func(c *kafka.TLSConfig) { c.CertFile, c.KeyFile = other.file("client.crt"), other.file("client.key") })},
			[]string{"tls", "certificate", "check the TLS settings"},
		},
		"plaintext to a TLS port":  {kafka.Config{Brokers: encrypted}, []string{encrypted[0], "TLS"}},
		"TLS to a plaintext port":  {kafka.Config{Brokers: open, TLS: &trusted}, []string{open[0], "does this port speak TLS"}},
		"a wrong password":         {kafka.Config{Brokers: scram, SASL: sasl(kafka.ScramSHA256, "guess")}, []string{"are mechanism and credentials right?"}},
		"another mechanism":        {kafka.Config{Brokers: scram, SASL: sasl(kafka.ScramSHA512, "of ann")}, []string{"are mechanism and credentials right?"}},
		"no authentication at all": {kafka.Config{Brokers: scram}, []string{scram[0], "SASL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.ConnectTimeout = 2 * time.Second
			k, err := kafka.Open(t.Context(), c.config)
			if err == nil {
				k.Close()
			}
			says(t, err, append(c.says, "connect to kafka at "+c.config.Brokers[0])...)
		})
	}
}
