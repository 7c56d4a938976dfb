// Command loadgen sends redemptions or look-ups to a gRPC server, or a legacy API's redemptions to
// the HTTP shim, and measures the answers.
//
// It is compiled so that it leaves the processor to the server, and it sends and receives raw
// bytes so that it needs no generated code.
//
// Closed loop (the default): a fixed number of calls is always in flight. Open loop (-rate): calls
// start at random instants of that mean rate whatever becomes of earlier ones, and latency counts
// from the instant at which a call was due, so that a stall is not hidden.
//
// It prints the line "measuring" when the warm-up is over, then one line of JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type options struct {
	address, method, kind, token   string
	connections, inFlight, cards   int
	ratePerSecond, warmUp, seconds float64
}

// report is what the harness reads. Latencies are microseconds.
type report struct {
	Count      int            `json:"count"`
	Errors     map[string]int `json:"errors"`
	Seconds    float64        `json:"seconds"`
	CPUSeconds float64        `json:"cpu_seconds"`
	P50        int64          `json:"p50_microseconds"`
	P95        int64          `json:"p95_microseconds"`
	P99        int64          `json:"p99_microseconds"`
	Max        int64          `json:"max_microseconds"`
}

// rawCodec hands bytes through.
type rawCodec struct{}

func (rawCodec) Marshal(value any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*value.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, value any) error {
	*value.(*int) = data.Len()
	return nil
}

func (rawCodec) Name() string { return "proto" }

// tally gathers the answers of one worker.
type tally struct {
	latencies []int64
	errors    map[string]int
}

// run is one measurement: calls that end between start and end count.
type run struct {
	options    options
	senders    []sender
	start, end time.Time
}

// sender sends one request on one connection and waits for its answer. No deadline cuts it short: an
// answer that is late must be seen to be late.
type sender func(request []byte) error

func grpcSender(given options) (sender, error) {
	connection, err := grpc.NewClient(
		"passthrough:///"+given.address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		return nil, err
	}
	connection.Connect()
	return func(request []byte) error {
		ctx := metadata.AppendToOutgoingContext(
			context.Background(), "authorization", "Bearer "+given.token)
		size := 0
		err := connection.Invoke(ctx, given.method, &request, &size)
		if err == nil && size == 0 {
			err = errors.New("an empty answer")
		}
		return err
	}, nil
}

// httpSender keeps as many connections as there may be calls in flight on it.
func httpSender(given options) (sender, error) {
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: given.inFlight, DisableCompression: true,
	}}
	url := "http://" + given.address + given.method
	return func(body []byte) error {
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+given.token)
		request.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("HTTP %d %s", answer.StatusCode, said)
		}
		return err
	}, nil
}

func (r *run) call(send sender, request []byte, due time.Time, into *tally) {
	err := send(request)
	ended := time.Now()
	if ended.Before(r.start) || ended.After(r.end) {
		return
	}
	if err != nil {
		into.errors[name(err)]++
		return
	}
	into.latencies = append(into.latencies, ended.Sub(due).Microseconds())
}

// name says what went wrong in a word or two.
func name(err error) string {
	if said, known := status.FromError(err); known {
		return said.Code().String()
	}
	return err.Error()
}

// closedLoop keeps one call in flight until the end.
func (r *run) closedLoop(send sender, requests *maker, into *tally) {
	for now := time.Now(); now.Before(r.end); now = time.Now() {
		r.call(send, requests.next(), now, into)
	}
}

// openLoop starts calls at exponentially distributed distances, as independent callers do.
func (r *run) openLoop(requests *maker) []*tally {
	idle := make(chan *tally, 1<<16)
	var all []*tally
	var calls sync.WaitGroup
	due := time.Now()
	for number := 0; due.Before(r.end); number++ {
		time.Sleep(time.Until(due))
		var into *tally
		select {
		case into = <-idle:
		default:
			into = &tally{errors: map[string]int{}}
			all = append(all, into)
		}
		request, started := requests.next(), due
		calls.Go(func() {
			r.call(r.senders[number%len(r.senders)], request, started, into)
			idle <- into
		})
		gap := rand.ExpFloat64() / r.options.ratePerSecond
		due = due.Add(time.Duration(gap * float64(time.Second)))
	}
	calls.Wait()
	return all
}

func (r *run) workers() ([]*tally, error) {
	if r.options.ratePerSecond > 0 {
		requests, err := newMaker(r.options.kind, r.options.cards)
		if err != nil {
			return nil, err
		}
		return r.openLoop(requests), nil
	}
	var all []*tally
	var workers sync.WaitGroup
	for _, send := range r.senders {
		for range r.options.inFlight {
			requests, err := newMaker(r.options.kind, r.options.cards)
			if err != nil {
				return nil, err
			}
			into := &tally{errors: map[string]int{}}
			all = append(all, into)
			workers.Go(func() { r.closedLoop(send, requests, into) })
		}
	}
	workers.Wait()
	return all, nil
}

func measure(given options) (*report, error) {
	r := &run{options: given}
	connect := grpcSender
	if given.kind == kindRetail7 {
		connect = httpSender
	}
	for range given.connections {
		send, err := connect(given)
		if err != nil {
			return nil, err
		}
		r.senders = append(r.senders, send)
	}
	r.start = time.Now().Add(seconds(given.warmUp))
	r.end = r.start.Add(seconds(given.seconds))
	used := make(chan float64, 1)
	go func() {
		time.Sleep(time.Until(r.start))
		before := cpuSeconds()
		fmt.Println("measuring")
		time.Sleep(time.Until(r.end))
		used <- cpuSeconds() - before
	}()
	tallies, err := r.workers()
	if err != nil {
		return nil, err
	}
	return summary(tallies, given.seconds, <-used), nil
}

func summary(tallies []*tally, duration, cpu float64) *report {
	var latencies []int64
	failures := map[string]int{}
	for _, each := range tallies {
		latencies = append(latencies, each.latencies...)
		for code, count := range each.errors {
			failures[code] += count
		}
	}
	slices.Sort(latencies)
	at := func(share float64) int64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[min(int(share*float64(len(latencies))), len(latencies)-1)]
	}
	return &report{
		Count: len(latencies), Errors: failures, Seconds: duration, CPUSeconds: cpu,
		P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1),
	}
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

// cpuSeconds is what this process has used so far, in user and in kernel mode.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func main() {
	var given options
	flag.StringVar(&given.address, "address", "127.0.0.1:50051", "host:port of the server")
	flag.StringVar(&given.method, "method", "", "full path of the method, or of the legacy API, to call")
	flag.StringVar(&given.kind, "kind", "redeem", "what to send: redeem, lookup or retail7")
	flag.StringVar(&given.token, "token", "", "bearer token")
	flag.IntVar(&given.cards, "cards", 1, "draw from the cards GC00000000000000 to this count")
	flag.IntVar(&given.connections, "connections", 8, "connections to the server")
	flag.IntVar(&given.inFlight, "in-flight", 8, "calls in flight on each, closed loop")
	flag.Float64Var(&given.ratePerSecond, "rate", 0, "calls a second, open loop")
	flag.Float64Var(&given.warmUp, "warm-up", 1, "seconds before the measurement")
	flag.Float64Var(&given.seconds, "seconds", 5, "seconds to measure")
	flag.Parse()
	result, err := measure(given)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}
