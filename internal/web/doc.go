// Package web is the HTTP face of a process: its views, its health and its
// metrics, as JSON but for the last.
//
//	GET /views                   the views
//	GET /views/{view}/{key}      one row
//	GET /views/{view}            rows in key order: prefix, from, to, limit, cursor
//	GET /healthz, /readyz        200, or 503 with reasons
//	GET /metrics                 Prometheus
//
// With wait=DURATION a view is first waited for until it holds what its table
// held at the request; a 504 says what is missing. docs/http.md is the reference.
//
// A handler is safe for concurrent use. It reads only, and authenticates nobody:
// [Listen] stays on loopback unless an address names another interface.
package web
