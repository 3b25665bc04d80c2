// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package s3

import (
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// This is what all of our clients of a store do alike: the target, and the receiver
// that keeps dumps in a bucket.

const (
	// MaxParts is how many parts an object may have; it is S3's limit.
	MaxParts = 10000
	// partsOfSize is how many parts there are of each size before it doubles.
	partsOfSize = 2000
)

// PartSize returns the size of a part in bytes; that of number 1, the first, is
// first.
func PartSize(first, number int) int { return first << ((number - 1) / partsOfSize) }

// markKey is the name of the metadata that tells one's own object from another.
const markKey = "Ukdump-Upload"

// Marked returns the options of an object that is known by a mark.
func Marked(mark string) minio.PutObjectOptions {
	return minio.PutObjectOptions{ContentType: "application/octet-stream", UserMetadata: map[string]string{markKey: mark}}
}

// MarkOf returns the mark of an object, if it has one.
func MarkOf(object minio.ObjectInfo) string { return object.UserMetadata[markKey] }

// Create makes a marked object by a request that is on condition that there is
// none. Not all stores know the condition for all requests; those that say so get
// one without.
func Create(mark string, do func(minio.PutObjectOptions) error) error {
	o := Marked(mark)
	o.SetMatchETagExcept("*")
	err := do(o)
	if AnswerOf(err).StatusCode == http.StatusNotImplemented {
		return do(Marked(mark))
	}
	return err
}

// AnswerOf returns the server's answer that made an error; none if it did not
// answer.
func AnswerOf(err error) (answer minio.ErrorResponse) {
	errors.As(err, &answer)
	return answer
}
