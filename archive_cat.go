package kappa

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

func archiveCatCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat TOPIC[:PARTITION]",
		Short: "Print archived records",
		Long: `Print the archived records of a topic as who reads committed records sees them:
without aborted transactions, one partition after the other. --from and --to are
offsets, or times such as 2026-11-22T10:00:00Z, of which --to is not included.

A line has partition, offset, time, key and value. With --json it has the headers,
too, and keys and values that are no text stand in key_base64 and value_base64.`,
		Example: fmt.Sprintf("  %[1]s archive cat clicks:0 --bucket file:///var/lib/kappa/archive --from 1000 --limit 10\n  %[1]s archive cat clicks --bucket s3://history --from 2026-11-22T00:00:00Z --to 2026-11-23T00:00:00Z --json", app.Name),
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.String("from", "", "offset or time to begin at (default: where the archive begins)")
	f.String("to", "", "offset or time to end before (default: where the archive ends)")
	f.Int64("limit", 0, "how many records to print at most (default: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := edgeFlag(cmd, "from", edge{offset: -1})
		if err != nil {
			return err
		}
		to, err := edgeFlag(cmd, "to", edge{offset: math.MaxInt64})
		if err != nil {
			return err
		}
		s, err := openStore(cmd)
		if err != nil {
			return err
		}
		defer s.close()
		logs, err := s.logs(cmd, args)
		if err != nil {
			return err
		}
		if err := oneHistory(logs); err != nil {
			return err
		}
		return s.cat(cmd, logs, from, to)
	}
	return jsonFlag(selectionFlags(cmd))
}

// edge is an offset, or a time.
type edge struct {
	offset int64
	time   time.Time // not zero: instead of the offset
}

func edgeFlag(cmd *cobra.Command, name string, otherwise edge) (edge, error) {
	text := flags{cmd.Flags()}.text(name)
	if text == "" {
		return otherwise, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return edge{offset: n}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return edge{}, &usageError{fmt.Errorf("--%s %s: use an offset, or a time such as 2026-11-22T10:00:00Z", name, text)}
	}
	return edge{time: t}, nil
}

// cat prints the records of logs.
func (s *store) cat(cmd *cobra.Command, logs []archive.Log, from, to edge) error {
	limit, _ := cmd.Flags().GetInt64("limit")
	if limit <= 0 {
		limit = math.MaxInt64
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	write := textRecord
	if (flags{cmd.Flags()}).on("json") {
		write = jsonRecord
	}
	for _, l := range logs {
		m, err := s.latest(cmd.Context(), l)
		if err != nil {
			return err
		}
		if m == nil || limit == 0 {
			continue
		}
		err = s.catLog(cmd.Context(), m, from, to, func(r *record.Record) error {
			if limit--; limit < 0 {
				limit = 0
				return errEnough
			}
			return write(out, r)
		})
		if err != nil && !errors.Is(err, errEnough) {
			return errors.Join(out.Flush(), err)
		}
	}
	return out.Flush()
}

var errEnough = errors.New("enough")

// catLog yields the committed records of one log between two bounds.
func (s *store) catLog(ctx context.Context, m *archive.Manifest, from, to edge, yield func(*record.Record) error) error {
	start, err := s.begin(ctx, m, from)
	if err != nil || start >= m.Next {
		return err
	}
	until := m.Next
	if to.time.IsZero() {
		until = min(until, to.offset)
	}
	if start >= until {
		return nil
	}
	r, err := s.Read(m, archive.ReadConfig{From: start, Until: until})
	if err != nil {
		return err
	}
	defer r.Close()
	decoder := kafka.NewDecoder()
	for {
		chunk, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = decodeChunk(decoder, m.Log, chunk, start, until, func(r *record.Record) error {
			if !from.time.IsZero() && r.Timestamp < from.time.UnixMilli() || !to.time.IsZero() && r.Timestamp >= to.time.UnixMilli() {
				return nil
			}
			return yield(r)
		})
		chunk.Release()
		if err != nil {
			return err
		}
	}
}

// begin returns the offset to read from.
func (s *store) begin(ctx context.Context, m *archive.Manifest, from edge) (int64, error) {
	if !from.time.IsZero() {
		return s.OffsetAfter(ctx, m, from.time.UnixMilli())
	}
	if from.offset < 0 {
		return m.Start(), nil
	}
	if from.offset >= m.Next {
		return m.Next, nil
	}
	return from.offset, nil
}

func decodeChunk(d *kafka.Decoder, l archive.Log, c *archive.Chunk, from, until int64, yield func(*record.Record) error) error {
	aborted := make([]kafka.AbortedTransaction, len(c.Aborted))
	for i, a := range c.Aborted {
		aborted[i] = kafka.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First}
	}
	f, err := d.Decode(partitionOf(l), from, until, c.Raw, aborted)
	if err != nil {
		return err
	}
	defer f.Release()
	for i := range f.Records {
		if err := yield(&f.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

func textRecord(w *bufio.Writer, r *record.Record) error {
	_, err := fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\n", r.Partition, r.Offset, when(r.Timestamp), printable(r.Key), printable(r.Value))
	return err
}

// printable writes text as it is, unless it would disturb the line, and what is no text
// quoted.
func printable(b []byte) string {
	if b == nil {
		return "-"
	}
	for _, c := range string(b) {
		if c == utf8.RuneError || !strconv.IsPrint(c) {
			return strconv.Quote(string(b))
		}
	}
	return string(b)
}

// catRecord is a record as "archive cat --json" prints it.
type catRecord struct {
	Topic     string      `json:"topic"`
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Timestamp int64       `json:"timestamp"` // milliseconds
	Key       *string     `json:"key"`
	KeyRaw    []byte      `json:"key_base64,omitempty"`
	Value     *string     `json:"value"`
	ValueRaw  []byte      `json:"value_base64,omitempty"`
	Headers   []catHeader `json:"headers,omitempty"`
}

type catHeader struct {
	Key      string  `json:"key"`
	Value    *string `json:"value"`
	ValueRaw []byte  `json:"value_base64,omitempty"`
}

func jsonRecord(w *bufio.Writer, r *record.Record) error {
	c := catRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}
	c.Key, c.KeyRaw = textOrBytes(r.Key)
	c.Value, c.ValueRaw = textOrBytes(r.Value)
	for _, h := range r.Headers {
		v, raw := textOrBytes(h.Value)
		c.Headers = append(c.Headers, catHeader{h.Key, v, raw})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(c)
}

// textOrBytes returns text where b is text, else its bytes; neither for null.
func textOrBytes(b []byte) (*string, []byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	}
	return nil, b
}
