package kappa

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/topology"
)

func describeCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "describe",
		Short:   "Show the topologies: what each group reads, keeps and writes",
		Example: fmt.Sprintf("  %s describe\n  %s describe --format mermaid", app.Name, app.Name),
		Args:    cobra.NoArgs,
	}
	cmd.Flags().String("format", "text", "text, json or mermaid")
	cmd.Flags().Bool("json", false, "the same as --format json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plans, err := topology.Build(app.Groups...)
		if err != nil {
			return err
		}
		f := flags{cmd.Flags()}
		format := f.text("format")
		if f.on("json") {
			format = "json"
		}
		text, err := describe(topology.Describe(plans...), format)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSuffix(text, "\n"))
		return nil
	}
	return cmd
}

func describe(d topology.Descriptions, format string) (string, error) {
	switch format {
	case "text":
		return d.String(), nil
	case "json":
		return d.JSON(), nil
	case "mermaid":
		return d.Mermaid(), nil
	}
	return "", &usageError{fmt.Errorf("--format %s: use text, json or mermaid", format)}
}
