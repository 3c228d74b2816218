package kappa

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/record"
)

func emitCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emit TOPIC [KEY [VALUE]]",
		Short: "Write records to a topic",
		Long: `Write one record to a topic, or without a KEY those on the standard input: one a
line, its key up to the first separator, its value after it. A key alone makes a
record without a value, which deletes in a table. Blank lines are passed over.

Keys are placed on partitions as groups expect it; many other tools place them
otherwise.`,
		Example: fmt.Sprintf("  %s emit clicks ann /home\n  %s emit clicks --separator : < clicks.txt", app.Name, app.Name),
		Args:    cobra.RangeArgs(1, 3),
	}
	cmd.Flags().String("separator", " ", "what stands between key and value of a line")
	cmd.Flags().String("hasher", record.FNV1a.Name, "how keys are placed on partitions: fnv1a, as goka does, or murmur2, as Kafka's own clients do")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f := flags{cmd.Flags()}
		hasher, known := record.HasherByName(f.text("hasher"))
		if !known {
			return &usageError{fmt.Errorf("--hasher %s: use fnv1a or murmur2", f.text("hasher"))}
		}
		if f.text("separator") == "" {
			return &usageError{errors.New("--separator is empty: name what stands between key and value")}
		}
		c, err := Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := c.emit(cmd.Context(), hasher, args, lines{bufio.NewReader(cmd.InOrStdin()), f.text("separator")})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d written\n", args[0], n)
		return nil
	}
	return cmd
}

// emit writes the record that args name, or else those of the lines.
func (c *Client) emit(ctx context.Context, hasher record.Hasher, args []string, in lines) (n int, err error) {
	topic := args[0]
	there, err := c.cluster.Topics(ctx, topic)
	if err != nil {
		return 0, err
	}
	if _, ok := there[topic]; !ok {
		return 0, fmt.Errorf("topic %s: %w", topic, record.ErrUnknownTopic)
	}
	e, err := c.Emitter(hasher)
	if err != nil {
		return 0, err
	}
	defer e.Close()
	next := in.next
	if len(args) > 1 {
		next = only(args[1:])
	}
	for {
		key, value, err := next()
		if err == io.EOF {
			return n, e.Flush(ctx)
		}
		if err != nil {
			return n, errors.Join(fmt.Errorf("record %d: %w", n+1, err), e.Flush(ctx))
		}
		if err := e.Emit(ctx, record.Record{Topic: topic, Key: key, Value: value, Timestamp: time.Now().UnixMilli()}); err != nil {
			return n, err
		}
		n++
	}
}

// only yields one record, of a key and perhaps a value.
func only(args []string) func() (key, value []byte, err error) {
	return func() (key, value []byte, err error) {
		if args == nil {
			return nil, nil, io.EOF
		}
		key = []byte(args[0])
		if len(args) > 1 {
			value = []byte(args[1])
		}
		args = nil
		return key, value, nil
	}
}

// lines are records as text, one a line.
type lines struct {
	*bufio.Reader
	separator string
}

// next returns the next record, io.EOF after the last.
func (l lines) next() (key, value []byte, err error) {
	for {
		line, err := l.ReadString('\n')
		if err != nil && (err != io.EOF || line == "") {
			return nil, nil, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		k, v, found := strings.Cut(line, l.separator)
		if found {
			value = []byte(v)
		}
		return []byte(k), value, nil
	}
}
