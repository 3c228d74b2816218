// Kappa looks into the groups and tables of any cluster, and runs a broker for
// development:
//
//	kappa view TABLE [KEY] --codec json
//	kappa lag GROUP
//	kappa reset GROUP --to-earliest
//	kappa archive run --bucket URL --topics TOPIC
//	kappa leave INSTANCE --group GROUP
//	kappa topics create TOPIC
//	kappa emit TOPIC KEY VALUE
//	kappa dev --dir dev
//
// Topologies are programs of their own, with the same verbs and more: see package
// [github.com/seed-73111be4/kappa].
package main

import "github.com/seed-73111be4/kappa"

func main() {
	kappa.Main(kappa.App{
		Name:  "kappa",
		Short: "Look into the groups and tables of a Kafka cluster",
		Long: `kappa looks into groups and tables on any Kafka cluster, and runs a broker for
development. Programs with topologies have the same verbs, and more.`,
	})
}
