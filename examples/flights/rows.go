package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// A Row is one line of a month's file: one flight that was planned.
type Row struct {
	Line      int // in the file, the header is line 1
	ID        string
	Carrier   string
	Tail      string // "" where unknown
	Origin    string
	Dest      string
	Scheduled time.Time
	Departed  bool
	DepDelay  int // minutes; set where it departed
	Landed    bool
	AirTime   int // minutes; set where it landed, as is
	ArrDelay  int // minutes
}

// A RowError is a row that cannot be read: nothing of it is fed.
type RowError struct {
	Line   int
	Column string // "" where it is about the whole line
	Err    error
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Column, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

var (
	errMissing  = errors.New("NA or empty, but the row needs it")
	errRepeated = errors.New("the flight is already there with other values")
)

// columns are the ones that make events; a file may have more, in any order.
var columns = []string{"year", "month", "day", "dep_time", "dep_delay", "arr_delay",
	"carrier", "flight", "tailnum", "origin", "dest", "air_time", "minute", "time_hour"}

// A Month is what a file holds. Every line of it is in exactly one of the three.
type Month struct {
	Rows     []Row
	Repeated int // lines that say again, word for word, what an earlier one said
	Bad      []*RowError
}

// ReadMonth reads a month's file, plain or gzipped. The error is about the file
// as a whole; rows that cannot be read are in Bad.
func ReadMonth(r io.Reader) (*Month, error) {
	t, err := readTable(r, columns...)
	if err != nil {
		return nil, err
	}
	m, seen := new(Month), make(map[string]int)
	for {
		f, err := t.next()
		if err == io.EOF {
			return m, nil
		}
		if bad := (*RowError)(nil); errors.As(err, &bad) {
			m.Bad = append(m.Bad, bad)
			continue
		}
		if err != nil {
			return nil, err
		}
		row, badRow := parseRow(f)
		m.add(row, badRow, seen)
	}
}

func (m *Month) add(row Row, bad *RowError, seen map[string]int) {
	if bad != nil {
		m.Bad = append(m.Bad, bad)
		return
	}
	i, again := seen[row.ID]
	if !again {
		seen[row.ID] = len(m.Rows)
		m.Rows = append(m.Rows, row)
		return
	}
	first := m.Rows[i]
	same := row
	same.Line = first.Line
	if same == first {
		m.Repeated++
		return
	}
	m.Bad = append(m.Bad, &RowError{row.Line, "", fmt.Errorf("%s: %w on line %d", row.ID, errRepeated, first.Line)})
}

// fields is one line, read column by column; the first mistake is kept.
type fields struct {
	line   int
	column map[string]int
	values []string
	bad    *RowError
}

func (f *fields) fail(column string, err error) {
	if f.bad == nil {
		f.bad = &RowError{f.line, column, err}
	}
}

// has reports whether the column has a value: not NA, not empty.
func (f *fields) has(column string) bool {
	v := f.values[f.column[column]]
	return v != "NA" && v != ""
}

func (f *fields) text(column string) string {
	if !f.has(column) {
		f.fail(column, errMissing)
		return ""
	}
	return f.values[f.column[column]]
}

func (f *fields) number(column string) int {
	s := f.text(column)
	if n, err := strconv.Atoi(s); err == nil || s == "" {
		return n
	}
	// Some tools write whole numbers as 2.0 or 1e3.
	x, err := strconv.ParseFloat(s, 64)
	if n := int(x); err == nil && x == float64(n) {
		return n
	}
	f.fail(column, fmt.Errorf("%q is not a whole number", s))
	return 0
}

func (f *fields) hour(column string) time.Time {
	s := f.text(column)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil && s != "" {
		f.fail(column, fmt.Errorf("%q is not a time like 2013-01-31T10:00:00Z", s))
	}
	return t.UTC()
}

// parseRow reads what makes events and leaves the other columns alone: a row is
// not refused for a field that nobody needs.
func parseRow(f *fields) (Row, *RowError) {
	year, month, day := f.number("year"), f.number("month"), f.number("day")
	r := Row{
		Line: f.line, Carrier: f.text("carrier"), Origin: f.text("origin"), Dest: f.text("dest"),
		Scheduled: f.hour("time_hour").Add(time.Duration(f.number("minute")) * time.Minute),
		Departed:  f.has("dep_time"),
	}
	r.ID = fmt.Sprintf("%s-%s-%04d-%02d-%02d-%s", r.Carrier, f.text("flight"), year, month, day, r.Origin)
	if f.has("tailnum") {
		r.Tail = f.text("tailnum")
	}
	if r.Departed {
		r.DepDelay = f.number("dep_delay")
		r.Landed = f.has("air_time")
	}
	if r.Landed {
		r.AirTime, r.ArrDelay = f.number("air_time"), f.number("arr_delay")
	}
	return r, f.bad
}

// A table reads the named columns of a CSV file, line by line.
type table struct {
	csv    *csv.Reader
	column map[string]int // its place in a line
	width  int
}

func readTable(r io.Reader, need ...string) (*table, error) {
	r, err := plain(r)
	if err != nil {
		return nil, err
	}
	t := &table{csv: csv.NewReader(r), column: make(map[string]int)}
	t.csv.FieldsPerRecord = -1 // counted by next, which names the line
	header, err := t.csv.Read()
	if err == io.EOF {
		return nil, errors.New("the file is empty: want a header line with the columns' names")
	}
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	header[0] = string(bytes.TrimPrefix([]byte(header[0]), []byte("\ufeff")))
	t.width = len(header)
	for i, name := range header {
		t.column[name] = i
	}
	missing := slices.DeleteFunc(slices.Clone(need), func(c string) bool { return slices.Contains(header, c) })
	if len(missing) > 0 {
		return nil, fmt.Errorf("the header has no column %q; it has %q", missing, header)
	}
	return t, nil
}

// next returns the next line. A line that is no CSV or has another number of
// fields is a *RowError, after which next may be called again.
func (t *table) next() (*fields, error) {
	values, err := t.csv.Read()
	if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
		return nil, &RowError{bad.StartLine, "", bad.Err}
	}
	if err != nil {
		return nil, err
	}
	line, _ := t.csv.FieldPos(0)
	if len(values) != t.width {
		return nil, &RowError{line, "", fmt.Errorf("%d fields, the header has %d", len(values), t.width)}
	}
	return &fields{line: line, column: t.column, values: values}, nil
}

// plain unpacks r where it is gzipped.
func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if magic, _ := b.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	return gzip.NewReader(b)
}
