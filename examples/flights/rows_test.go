package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

const header = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"

const (
	landedRow    = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
	cancelledRow = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z\n"
	divertedRow  = "2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,N719MQ,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z\n"
)

func month(t *testing.T, file string) *Month {
	t.Helper()
	m, err := ReadMonth(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// events of the rows, in short.
func events(m *Month) string {
	var b strings.Builder
	for _, r := range m.Rows {
		for _, e := range r.Events() {
			b.WriteString(e.ID + " " + string(e.Kind) + " " + e.At.Format(time.RFC3339))
			if e.Kind == Departed || e.Kind == Landed {
				b.WriteString(" " + minutes(e.Delay).String())
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestRowsMakeEvents(t *testing.T) {
	tests := map[string]struct{ row, want string }{
		"landed": {landedRow, `UA-1545-2013-01-01-EWR departed 2013-01-01T10:17:00Z 2m0s
UA-1545-2013-01-01-EWR landed 2013-01-01T14:04:00Z 11m0s
`},
		"cancelled": {cancelledRow, "EV-4308-2013-01-01-EWR cancelled 2013-01-01T21:30:00Z\n"},
		"diverted": {divertedRow, `MQ-4525-2013-01-01-LGA departed 2013-01-01T20:25:00Z -5m0s
MQ-4525-2013-01-01-LGA diverted 2013-01-01T20:25:00Z
`},
		"the day is the row's own, not that of the hour in UTC": {
			"2013,1,31,5,2359,6,453,444,9,B6,739,N583JB,JFK,PSE,189,1617,23,59,2013-02-01T04:00:00Z\n",
			`B6-739-2013-01-31-JFK departed 2013-02-01T05:05:00Z 6m0s
B6-739-2013-01-31-JFK landed 2013-02-01T08:14:00Z 9m0s
`},
		"a day late": {
			"2013,1,9,641,900,1301,1242,1530,1272,HA,51,N384HA,JFK,HNL,640,4983,9,0,2013-01-09T14:00:00Z\n",
			`HA-51-2013-01-09-JFK departed 2013-01-10T11:41:00Z 21h41m0s
HA-51-2013-01-09-JFK landed 2013-01-10T22:21:00Z 21h12m0s
`},
		"quoted, without tail number, whole numbers written as others": {
			`2013,1,1,517,515,2.0,830,819,1e1,"UA",1545,NA,"EWR","IAH",227,1.4e3,5,15,2013-01-01T10:00:00Z` + "\r\n",
			`UA-1545-2013-01-01-EWR departed 2013-01-01T10:17:00Z 2m0s
UA-1545-2013-01-01-EWR landed 2013-01-01T14:04:00Z 10m0s
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := month(t, header+test.row)
			if len(m.Bad) > 0 {
				t.Fatal(m.Bad[0])
			}
			if got := events(m); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestBadRowsAreNamedAndTheOthersStand(t *testing.T) {
	tests := map[string]struct{ row, want string }{
		"departed without a delay":    {strings.Replace(landedRow, ",2,830", ",NA,830", 1), "line 3: dep_delay: NA or empty, but the row needs it"},
		"landed without a delay":      {strings.Replace(landedRow, ",11,UA", ",,UA", 1), "line 3: arr_delay: NA or empty, but the row needs it"},
		"no origin":                   {strings.Replace(landedRow, "EWR", "NA", 1), "line 3: origin: NA or empty, but the row needs it"},
		"not a number":                {strings.Replace(landedRow, ",227,", ",soon,", 1), `line 3: air_time: "soon" is not a whole number`},
		"half a minute":               {strings.Replace(landedRow, ",227,", ",2.5,", 1), `line 3: air_time: "2.5" is not a whole number`},
		"not a time":                  {strings.Replace(landedRow, "T10:00:00Z", "", 1), `line 3: time_hour: "2013-01-01" is not a time like 2013-01-31T10:00:00Z`},
		"too few fields":              {"2013,1,1\n", "line 3: 3 fields, the header has 19"},
		"a quote in the wrong place":  {strings.Replace(landedRow, "UA", `U"A`, 1), `line 3: bare " in non-quoted-field`},
		"a flight with other values":  {strings.Replace(cancelledRow, "RDU", "IAH", 1), "line 3: EV-4308-2013-01-01-EWR: the flight is already there with other values on line 2"},
		"a flight at another time":    {strings.Replace(cancelledRow, "T21", "T22", 1), "line 3: EV-4308-2013-01-01-EWR: the flight is already there with other values on line 2"},
		"an hour that does not exist": {strings.Replace(landedRow, "T10", "T25", 1), `line 3: time_hour: "2013-01-01T25:00:00Z" is not a time like 2013-01-31T10:00:00Z`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := month(t, header+cancelledRow+test.row+divertedRow)
			if len(m.Bad) != 1 || len(m.Rows) != 2 {
				t.Fatalf("%d bad, %d good rows, want 1 and 2", len(m.Bad), len(m.Rows))
			}
			if got := m.Bad[0].Error(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if m := month(t, header+landedRow+landedRow); m.Repeated != 1 || len(m.Bad) != 0 || len(m.Rows) != 1 {
		t.Errorf("a line said twice: %+v", m)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, header+strings.Repeat(landedRow, 100))
	z.Close()
	tests := map[string]struct{ file, want string }{
		"empty":          {"", "the file is empty"},
		"other columns":  {strings.Replace(header, "dep_delay,", "", 1) + landedRow, `the header has no column ["dep_delay"]`},
		"half a gzip":    {zipped.String()[:zipped.Len()-9], "unexpected EOF"},
		"not quite gzip": {"\x1f\x8bxx", "EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadMonth(strings.NewReader(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestJanuary(t *testing.T) {
	m, err := January()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Rows) != 27004 || m.Repeated != 0 || len(m.Bad) != 0 {
		t.Fatalf("%d rows, %d repeated, %d bad", len(m.Rows), m.Repeated, len(m.Bad))
	}
	count := make(map[Kind]int)
	for _, r := range m.Rows {
		for _, e := range r.Events() {
			count[e.Kind]++
		}
	}
	if count[Cancelled] != 521 || count[Diverted] != 85 || count[Departed] != 27004-521 || count[Landed] != 27004-521-85 {
		t.Errorf("events: %v", count)
	}
	for name, want := range map[string]int{"carrier": 16, "faa": 1458} {
		file := map[string][]byte{"carrier": airlinesFile, "faa": airportsFile}[name]
		if list, err := names(file, name); err != nil || len(list) != want {
			t.Errorf("%s: %d names, %v", name, len(list), err)
		}
	}
}

func FuzzReadMonth(f *testing.F) {
	f.Add([]byte(header + landedRow + cancelledRow + divertedRow))
	f.Add([]byte("year\n\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadMonth(bytes.NewReader(data))
		if err != nil {
			return
		}
		ids := make(map[string]bool)
		for _, r := range m.Rows {
			if ids[r.ID] {
				t.Errorf("%s is there twice", r.ID)
			}
			ids[r.ID] = true
			if n := len(r.Events()); n < 1 || n > 2 {
				t.Errorf("%d events of line %d", n, r.Line)
			}
		}
		if slices.ContainsFunc(m.Bad, func(e *RowError) bool { return e.Line < 2 || errors.Unwrap(e) == nil }) {
			t.Errorf("a bad row without a line or a cause: %v", m.Bad)
		}
	})
}
