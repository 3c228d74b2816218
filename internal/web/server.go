package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// Server serves a handler on one address.
type Server struct {
	srv    *http.Server
	ln     net.Listener
	cancel context.CancelFunc // of all requests
	done   chan struct{}
	err    error // of serving; set before done is closed
}

// Address returns where to listen for an address as users write it. Without a
// host it is on loopback, and note says so: what is served is not protected.
func Address(addr string) (listen, note string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", fmt.Errorf("HTTP address %q: %w (write it as 127.0.0.1:8080 or :8080)", addr, err)
	}
	if host != "" {
		return addr, "", nil
	}
	listen = net.JoinHostPort("127.0.0.1", port)
	return listen, fmt.Sprintf("HTTP is on %s only; for all interfaces write 0.0.0.0:%s, there is no authentication", listen, port), nil
}

// Listen starts to serve h on addr ([Address] says where that is); port 0 takes a
// free one. The caller ends it with Shutdown. log may be nil.
func Listen(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	listen, note, err := Address(addr)
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("serve HTTP: %w (is the address taken? choose another one)", err)
	}
	if note != "" {
		log.Info(note)
	}
	base, cancel := context.WithCancel(context.Background())
	s := &Server{ln: ln, cancel: cancel, done: make(chan struct{}), srv: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	go s.serve()
	return s, nil
}

func (s *Server) serve() {
	defer close(s.done)
	if err := s.srv.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		s.err = fmt.Errorf("serve HTTP: %w", err)
	}
}

// URL returns the server's address as a URL without a path.
func (s *Server) URL() string { return "http://" + s.ln.Addr().String() }

// Shutdown refuses new requests, ends those that wait for a view, and lets the
// others finish until ctx ends. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.cancel()
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop serving HTTP: %w", err), s.srv.Close())
	}
	<-s.done
	return errors.Join(err, s.err)
}
