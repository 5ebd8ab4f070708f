package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"kad/pkg/keepalived"
)

// webhookAction posts an event as JSON. Its address and headers may hold secrets and are never
// printed.
type webhookAction struct {
	URL     *url.URL
	Headers map[string]string
	CAFile  string // "" for the system's authorities
	Retries int    // after the first attempt
}

// posted is the body.
type posted struct {
	Schema   int                  `json:"schema"`
	Time     time.Time            `json:"time"`
	Host     string               `json:"host"`
	Kind     keepalived.EventKind `json:"kind"`
	Name     string               `json:"name"`
	State    keepalived.State     `json:"state"`
	Previous keepalived.State     `json:"previous_state,omitempty"`
	Priority *int                 `json:"priority,omitempty"`
	VIPs     []netip.Addr         `json:"vips"`
}

func (a *webhookAction) plan(*change) string { return "post to " + a.place() }

// place is the part of the address that is no secret.
func (a *webhookAction) place() string { return a.URL.Scheme + "://" + a.URL.Host }

func (a *webhookAction) run(ctx context.Context, _ *notifier, c *change) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	pause := 100 * time.Millisecond
	for attempt := 0; ; attempt++ {
		err := a.post(ctx, client, body)
		if err == nil {
			return nil
		}
		if attempt == a.Retries || errors.Is(err, errRefused) || ctx.Err() != nil || !sleep(ctx, pause) {
			return fmt.Errorf("post to %s: %w (attempt %d)", a.place(), err, attempt+1)
		}
		pause *= 2
	}
}

// body is a line of JSON, a document of schema 1.
func (c *change) body() ([]byte, error) {
	host, _ := os.Hostname()
	p := posted{Schema: 1, Time: c.Time, Host: host, Kind: c.Kind, Name: c.Name, State: c.State, Previous: c.Previous, VIPs: c.vips()}
	if c.Priority >= 0 {
		p.Priority = &c.Priority
	}
	if p.VIPs == nil {
		p.VIPs = []netip.Addr{}
	}
	text, err := json.Marshal(p)
	return append(text, '\n'), err
}

func (a *webhookAction) client() (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{}}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", a.CAFile)
		}
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}, nil
}

// errRefused is an answer that will not change.
var errRefused = errors.New("refused")

func (a *webhookAction) post(ctx context.Context, client *http.Client, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL.String(), bytes.NewReader(body))
	if err != nil {
		return errRefused
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "kad-notify")
	for name, value := range a.Headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the address
	}
	if err != nil {
		return ended(ctx, err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	switch code := response.StatusCode; {
	case code < 300:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("answered %s", response.Status)
	}
	return fmt.Errorf("%w: answered %s", errRefused, response.Status)
}
