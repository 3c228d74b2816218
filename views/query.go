package views

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/state"
)

// Query selects the keys of a scan. Keys are compared bytewise. The zero value
// selects all.
type Query struct {
	Prefix string // keys that start with it
	From   string // first key, inclusive; "" is from the start
	To     string // end, exclusive; "" is to the last key
	Limit  int    // at most so many rows; 0 is no limit
}

// Row is one key of a table.
type Row struct {
	Key   string
	Bytes []byte // the value as the table topic holds it; must not be modified
	Value any    // decoded; Bytes where the view has no codec
}

// Page is the result of a scan. Next is the From of the page that follows, "" where
// there is none.
type Page struct {
	Rows []Row
	Next string
}

// rangeOf returns the range of store keys.
func (q Query) rangeOf() state.Range {
	table := state.TableKey(nil, nil)
	r := state.Prefix(state.TableKey(nil, []byte(q.Prefix)))
	if from := string(table) + q.From; from > string(r.From) {
		r.From = []byte(from)
	}
	if q.To != "" {
		if to := string(table) + q.To; r.To == nil || to < string(r.To) {
			r.To = []byte(to)
		}
	}
	if r.To != nil && string(r.From) > string(r.To) {
		r.To = r.From
	}
	return r
}

// Iterate calls fn for the selected rows in ascending key order, as of one moment
// of the view. An error of fn ends it and is returned. The view cannot be closed
// while fn runs.
func (v *View) Iterate(q Query, fn func(Row) error) error {
	n := 0
	return v.scan(q, func(key, value []byte) (bool, error) {
		row, err := v.row(string(key), slices.Clone(value))
		if err != nil {
			return false, err
		}
		n++
		return n != q.Limit, fn(row)
	})
}

// Scan returns the selected rows in ascending key order, as of one moment, and
// where to go on:
//
//	for q := (views.Query{Limit: 100}); ; q.From = page.Next {
//		page, err = v.Scan(q)
//		…
//		if page.Next == "" { break }
//	}
func (v *View) Scan(q Query) (Page, error) {
	var page Page
	err := v.scan(q, func(key, value []byte) (bool, error) {
		if q.Limit > 0 && len(page.Rows) == q.Limit {
			page.Next = string(key)
			return false, nil
		}
		row, err := v.row(string(key), slices.Clone(value))
		page.Rows = append(page.Rows, row)
		return true, err
	})
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

// scan walks over the current copy until fn returns false or an error.
func (v *View) scan(q Query, fn func(key, value []byte) (bool, error)) (err error) {
	r, err := v.acquire()
	if err != nil {
		return err
	}
	defer r.release()
	it, err := r.store.Scan(q.rangeOf())
	if err != nil {
		return fmt.Errorf("scan view %s: %w", v.cfg.Table, err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("scan view %s: %w", v.cfg.Table, cerr)
		}
	}()
	for it.Next() {
		if more, err := fn(it.Key()[1:], it.Value()); !more || err != nil {
			return err
		}
	}
	return nil
}

func (v *View) row(key string, value []byte) (Row, error) {
	row := Row{Key: key, Bytes: value, Value: value}
	if v.cfg.Codec == nil {
		return row, nil
	}
	var err error
	if row.Value, err = v.cfg.Codec.Decode(value); err != nil {
		return row, fmt.Errorf("decode the value of %q in view %s: %w (is it the codec that the table is written with?)",
			shorten(key), v.cfg.Table, err)
	}
	return row, nil
}

func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Decode makes a row of a key and a value that was read as bytes.
func (v *View) Decode(key string, value []byte) (Row, error) { return v.row(key, value) }
