package kappa

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/reset"
)

// ResetProgress is how far a group is on its way back to where it stood before its last
// reset.
type ResetProgress = reset.Progress

// ResetProgress returns how far a group is as of now. A group that was never reset is an
// error.
func (c *Client) ResetProgress(ctx context.Context, group string) (ResetProgress, error) {
	return reset.Look(ctx, c.cluster, group)
}

const watchTick = 500 * time.Millisecond

// watchReset shows a group's progress until readers have switched.
func watchReset(cmd *cobra.Command, c *Client, group string) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	show := progressText(out)
	if (flags{cmd.Flags()}).on("json") {
		show = progressJSON(out)
	}
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	var pace engine.Pace
	for {
		p, err := c.ResetProgress(ctx, group)
		if err != nil {
			return err
		}
		if err := show(p, pace.Look(p.Goal-p.Left, time.Now())); err != nil || p.Switched {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// progressJSON writes one object a look.
func progressJSON(w io.Writer) func(ResetProgress, float64) error {
	type line struct {
		Group    string  `json:"group"`
		Done     int64   `json:"done"`
		Goal     int64   `json:"goal"`
		Rate     float64 `json:"rate"`        // records a second
		ETA      float64 `json:"eta_seconds"` // -1: unknown
		Members  int     `json:"members"`
		Switched bool    `json:"switched"`
	}
	return func(p ResetProgress, rate float64) error {
		left := -1.0
		if d, ok := engine.ETA(p.Left, rate); ok {
			left = d.Seconds()
		}
		return printJSON(w, []line{{p.Group, p.Goal - p.Left, p.Goal, rate, left, p.Members, p.Switched}})
	}
}

// progressText writes a bar that stands in its place on a terminal, else a line each
// time that it has grown.
func progressText(w io.Writer) func(ResetProgress, float64) error {
	begin, last := "", ""
	end := "\n"
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			begin, end = "\r\x1b[K", ""
		}
	}
	return func(p ResetProgress, rate float64) error {
		text := progressLine(p, rate)
		if p.Switched {
			text += end
			if end == "" {
				text += "\n"
			}
			if p.Table != "" {
				text += "readers see " + p.Table + "\n"
			}
			_, err := io.WriteString(w, begin+text)
			return err
		}
		if text == last {
			return nil
		}
		last = text
		_, err := io.WriteString(w, begin+text+end)
		return err
	}
}

const barWidth = 20

func progressLine(p ResetProgress, rate float64) string {
	share := 1.0
	if p.Goal > 0 {
		share = float64(p.Goal-p.Left) / float64(p.Goal)
	}
	full := int(share * barWidth)
	s := fmt.Sprintf("%s [%s%s] %d%% %d of %d records", p.Group, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), int(share*100), p.Goal-p.Left, p.Goal)
	switch d, ok := engine.ETA(p.Left, rate); {
	case p.Left > 0 && p.Members == 0:
		return s + ", nobody runs the group"
	case p.Left > 0 && ok:
		return fmt.Sprintf("%s, %d/s, %v left", s, int64(rate), d)
	case p.Left == 0 && !p.Switched:
		return s + ", readers are about to switch"
	}
	return s
}
