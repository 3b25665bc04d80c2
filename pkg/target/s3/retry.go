// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	firstPause = 500 * time.Millisecond
	maxPause   = 5 * time.Second
	// maxAnswered is how often a server that answers may fail. A full disk is often
	// no more than an "internal error".
	maxAnswered = 5
)

// request is a request to the server. It calls moved when it gets on.
type request func(ctx context.Context, moved func()) error

// errStalled says that a request made no progress.
var errStalled = errors.New("the server does not answer any more")

// retry carries out a request until it succeeds, the server refuses it, or ctx
// ends.
func (s *Store) retry(ctx context.Context, quiet time.Duration, do request) error {
	pause := firstPause
	for answered := 0; ; {
		err := s.once(ctx, quiet, do)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case refused(err):
			return err
		case AnswerOf(err).StatusCode == http.StatusInternalServerError, AnswerOf(err).StatusCode == http.StatusBadRequest:
			if answered++; answered == maxAnswered {
				return err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		pause = min(2*pause, maxPause)
	}
}

// once carries out a request, a second time if the clock was wrong.
func (s *Store) once(ctx context.Context, quiet time.Duration, do request) error {
	err := watch(ctx, quiet, do)
	if AnswerOf(err).Code == minio.RequestTimeTooSkewed && s.o.SetClock != nil {
		if clockErr := s.setClock(); clockErr != nil {
			return fmt.Errorf("%w; %w", err, clockErr)
		}
		err = watch(ctx, quiet, do)
	}
	return meaning(err)
}

// setClock has the clock set to the server's.
func (s *Store) setClock() error {
	s.wire.mu.Lock()
	date := s.wire.date
	s.wire.mu.Unlock()
	now, err := http.ParseTime(date)
	if err != nil {
		return err
	}
	return s.o.SetClock(now)
}

// refused reports whether there is no use in trying again: what the server is, or
// says, will not change.
func refused(err error) bool {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) || errors.Is(err, target.ErrNoSpace) || errors.Is(err, fs.ErrExist) {
		return true
	}
	answer := AnswerOf(err)
	switch answer.StatusCode {
	case 0, http.StatusInternalServerError, http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	case http.StatusBadRequest:
		// What arrived was not what we sent, or not all of it.
		damaged := []string{minio.BadDigest, minio.IncompleteBody, minio.XAmzContentSHA256Mismatch, "RequestTimeout"}
		return !slices.Contains(damaged, answer.Code)
	case http.StatusConflict:
		return answer.Code != "ConditionalRequestConflict" && answer.Code != "OperationAborted"
	}
	return true
}

// meaning adds the sentinels that callers know to answers that mean them.
func meaning(err error) error {
	answer := AnswerOf(err)
	full := []string{"QuotaExceeded", "StorageFull", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
	switch {
	case err == nil:
		return nil
	case answer.StatusCode == http.StatusInsufficientStorage || slices.Contains(full, answer.Code):
		return fmt.Errorf("%w: %w", target.ErrNoSpace, err)
	case answer.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return err
}

// watch carries out a request and ends it when it has not moved for the time.
func watch(ctx context.Context, quiet time.Duration, do request) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(quiet, func() { cancel(errStalled) })
	defer timer.Stop()
	err := do(ctx, func() { timer.Reset(quiet) })
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}
