// Package bucket opens the buckets that an archive may live in, by URL:
//
//	file:///var/lib/kappa/archive                 a directory, created where missing
//	file://./archive                              a directory, relative
//	s3://name?region=eu-central-1                 Amazon S3 and what speaks its protocol
//	s3://name?endpoint=http://host:7070&use_path_style=true&region=us-east-1
//	gs://name                                     Google Cloud Storage
//	azblob://container                            Azure Blob Storage
//	mem://                                        memory, gone with the process
//
// Any of them takes ?prefix=some/folder/. Credentials come from where each
// provider's own tools take them (environment, profiles, instance roles).
//
// What an archive needs of a bucket is: a put that appears whole or not at all, reads
// of ranges, listing by prefix, and a conditional put ([blob.WriterOptions].IfNotExist)
// with one winner. The cloud stores promise all of them. gocloud.dev's own driver for
// directories does not promise the last one (it looks, then renames) and never syncs,
// so file:// is a driver of this package: a file is written beside the bucket's keys,
// synced, linked to its key (which fails where the key exists, whoever else tries) and
// the directory is synced.
//
// Buckets are safe for concurrent use. A file:// bucket may be shared by processes on
// one file system that has hard links.
package bucket
