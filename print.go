package kappa

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// printRows writes rows for a person, as a table, or for a program, as one JSON
// object a line.
func printRows[R any](cmd *cobra.Command, rows []R, header string, cells func(R) []any) error {
	if (flags{cmd.Flags()}).on("json") {
		return printJSON(cmd.OutOrStdout(), rows)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(header, " ", "\t"))
	for _, r := range rows {
		texts := make([]string, 0, 8)
		for _, c := range cells(r) {
			texts = append(texts, fmt.Sprint(c))
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	return w.Flush()
}

func printJSON[R any](w io.Writer, rows []R) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// jsonFlag adds --json to a verb that prints a table.
func jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("json", false, "print one JSON object a line")
	return cmd
}
