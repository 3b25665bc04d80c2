// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumprecv

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ukdump/ukdump/pkg/receiver"
)

// metricsHandler serves what the receiver counts.
func metricsHandler(recv *receiver.Receiver) http.Handler {
	registry := prometheus.NewRegistry()
	for _, m := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"kdumprecv_received_bytes_total", "Bytes that have come.", &recv.Stats.Bytes},
		{"kdumprecv_files_total", "Files that are complete.", &recv.Stats.Files},
		{"kdumprecv_refused_requests_total", "Requests that were refused.", &recv.Stats.Refused},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help},
			func() float64 { return float64(m.value.Load()) }))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}
