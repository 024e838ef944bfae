package workload

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// azureColumns are the columns of the Azure LLM inference traces that are read: when, and the lengths in tokens.
var azureColumns = [...]string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}

// azureTime reads the times of the traces of 2023, azureZoned those of 2024.
const (
	azureTime  = "2006-01-02 15:04:05"
	azureZoned = "2006-01-02 15:04:05Z07:00"
)

// parseAzure reads the CSV form. It tells nothing about the content of prompts.
func parseAzure(name string, text io.Reader) ([]TraceRequest, error) {
	rows := csv.NewReader(text)
	rows.ReuseRecord = true
	header, _ := rows.Read()
	var at [len(azureColumns)]int
	for i, column := range azureColumns {
		if at[i] = slices.Index(header, column); at[i] < 0 {
			return nil, fmt.Errorf("%s: begins with neither a line of JSON nor a header with the column %s: want a trace of Mooncake, Azure or warmlane", name, column)
		}
	}
	var all []TraceRequest
	var start time.Time
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, csvError(name, err)
		}
		when, r, err := azureRequest(row[at[0]], row[at[1]], row[at[2]])
		if err == nil && len(all) == 0 {
			start = when
		}
		if r.At = when.Sub(start); err == nil && r.At.Abs() > longestTrace {
			err = fmt.Errorf("%s is %s from the first request", row[at[0]], r.At)
		}
		if err != nil {
			line, _ := rows.FieldPos(0)
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		all = append(all, r)
	}
}

// csvError says where a file is no CSV.
func csvError(name string, err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s:%d: %w", name, parse.Line, parse.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// azureRequest reads one row.
func azureRequest(timestamp, input, output string) (time.Time, TraceRequest, error) {
	r := TraceRequest{Cached: -1, Session: -1}
	when, err := time.Parse(azureTime, timestamp)
	if err != nil {
		if when, err = time.Parse(azureZoned, timestamp); err != nil {
			return when, r, fmt.Errorf("TIMESTAMP %q is no time such as 2023-11-16 18:15:46.6805900", timestamp)
		}
	}
	if r.Input, err = strconv.Atoi(input); err != nil {
		return when, r, fmt.Errorf("ContextTokens %q is no number of tokens", input)
	}
	if r.Output, err = strconv.Atoi(output); err != nil {
		return when, r, fmt.Errorf("GeneratedTokens %q is no number of tokens", output)
	}
	return when, r, checkLengths(r.Input, r.Output)
}
