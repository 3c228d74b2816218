package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Config says how to reach a cluster. Only Brokers must be set.
type Config struct {
	// Brokers are the addresses, host or host:port, that a client asks first.
	Brokers []string
	// ClientID names this process in the broker's logs and quotas. Default "kappa".
	ClientID string
	// TLS encrypts connections. Default nil: plaintext.
	TLS *TLSConfig
	// SASL authenticates connections. Default nil: none.
	SASL *SASLConfig
	// Dial opens connections in place of the net package; tests set it. The
	// connection is wrapped in TLS where TLS is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ConnectTimeout bounds how long Open waits for a broker. Default 10 s.
	ConnectTimeout time.Duration
	// Log receives what the client says. Default: nothing.
	Log *slog.Logger
}

// TLSConfig says how connections are encrypted. The zero value trusts the
// system's roots. With CertFile and KeyFile the client shows a certificate of
// its own (mutual TLS).
type TLSConfig struct {
	CAFile     string // PEM file of the roots to trust; default the system's
	CertFile   string // PEM file of the client's certificate chain
	KeyFile    string // PEM file of the client's key
	ServerName string // name that the broker's certificate must bear; default the host dialled
	SkipVerify bool   // accept any certificate; for tests only
}

// Mechanism names a way to authenticate.
type Mechanism string

// The mechanisms that brokers offer.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	OAuthBearer Mechanism = "OAUTHBEARER"
	AWSMSKIAM   Mechanism = "AWS_MSK_IAM"
)

// SASLConfig holds the credentials of one mechanism.
type SASLConfig struct {
	Mechanism    Mechanism
	User         string // PLAIN, SCRAM
	Password     string // PLAIN, SCRAM
	Token        string // OAUTHBEARER
	AccessKey    string // AWS_MSK_IAM
	SecretKey    string // AWS_MSK_IAM
	SessionToken string // AWS_MSK_IAM, optional
}

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "kappa"
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns all mistakes in the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers given: name at least one as host:port"))
	}
	for _, b := range c.Brokers {
		if err := checkAddress(b); err != nil {
			errs = append(errs, err)
		}
	}
	if c.TLS != nil {
		errs = append(errs, c.TLS.validate())
	}
	if c.SASL != nil {
		errs = append(errs, c.SASL.validate())
	}
	return errors.Join(errs...)
}

func checkAddress(addr string) error {
	if strings.TrimSpace(addr) == "" {
		return errors.New("empty broker address: use host:port")
	}
	if strings.Contains(addr, "://") || strings.ContainsAny(addr, " ,;") {
		return fmt.Errorf("broker address %q: use host:port without a scheme, one address each", addr)
	}
	return nil
}

func (t *TLSConfig) validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls: a client certificate and its key belong together: give both files or neither")
	}
	_, err := t.load()
	return err
}

func (s *SASLConfig) validate() error {
	var missing []string
	need := func(name, value string) {
		if value == "" {
			missing = append(missing, name)
		}
	}
	switch s.Mechanism {
	case Plain, ScramSHA256, ScramSHA512:
		need("user", s.User)
		need("password", s.Password)
	case OAuthBearer:
		need("token", s.Token)
	case AWSMSKIAM:
		need("access key", s.AccessKey)
		need("secret key", s.SecretKey)
	default:
		return fmt.Errorf("sasl: unknown mechanism %q: use one of %s, %s, %s, %s, %s",
			s.Mechanism, Plain, ScramSHA256, ScramSHA512, OAuthBearer, AWSMSKIAM)
	}
	if len(missing) > 0 {
		return fmt.Errorf("sasl %s: missing %s", s.Mechanism, strings.Join(missing, " and "))
	}
	return nil
}
