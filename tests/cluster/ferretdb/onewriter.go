package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// FerretDB reads what an update matches, then writes it: two at once on one document would both succeed, where MongoDB
// lets one of them find that the document has changed. So one write at a time goes through.
var writing sync.Mutex

var writes = map[string]bool{"insert": true, "update": true, "delete": true, "findAndModify": true}

const (
	headerBytes  = 16
	maxBytes     = 48_000_000
	opMsg        = 2013
	bodySection  = 0
	sectionStart = headerBytes + 4 // after the flags
	nameStart    = sectionStart + 1 + 4 + 1
)

// serve hands every connection's messages on to the server at address, until the listener is closed.
func serve(front net.Listener, address string) error {
	for {
		client, err := front.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer server.Close()
			for relay(client, server) == nil {
			}
		}()
	}
}

// relay takes one message to the server and its answer back. A client that is gone does not shorten its turn.
func relay(client, server net.Conn) error {
	message, err := read(client)
	if err != nil {
		return err
	}
	answer, err := ask(server, message)
	if err != nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

func ask(server net.Conn, message []byte) ([]byte, error) {
	if writes[command(message)] {
		writing.Lock()
		defer writing.Unlock()
	}
	if _, err := server.Write(message); err != nil {
		return nil, err
	}
	return read(server)
}

func read(conn net.Conn) ([]byte, error) {
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(conn, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerBytes || size > maxBytes {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := append(header, make([]byte, size-headerBytes)...)
	_, err := io.ReadFull(conn, message[headerBytes:])
	return message, err
}

// command returns the name of the first field of an OP_MSG's body, "" for anything else.
func command(message []byte) string {
	if len(message) <= nameStart || binary.LittleEndian.Uint32(message[12:]) != opMsg ||
		message[sectionStart] != bodySection {
		return ""
	}
	name, _, _ := bytes.Cut(message[nameStart:], []byte{0})
	return string(name)
}
