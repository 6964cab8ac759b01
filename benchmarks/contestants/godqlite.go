// go-dqlite as its users meet it: database/sql. Usage: godqlite HOST:PORT,... DATABASE; orders and
// answers as in harness.py.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/canonical/go-dqlite/client"
	"github.com/canonical/go-dqlite/driver"
)

type reply struct {
	Wall  float64   `json:"wall"`
	CPU   float64   `json:"cpu"`
	Calls int       `json:"calls"`
	Laps  []float64 `json:"laps,omitempty"`
	Error string    `json:"error,omitempty"`
}

var (
	background = context.Background()
	database   string
	blob       []byte
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func cpu() float64 {
	var use syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	spent := time.Duration(use.Utime.Nano() + use.Stime.Nano())
	return spent.Seconds()
}

func open() (*sql.DB, *sql.Conn) {
	db, err := sql.Open("dqlite", database)
	check(err)
	conn, err := db.Conn(background)
	check(err)
	return db, conn
}

func one(conn *sql.Conn) {
	var value int
	check(conn.QueryRowContext(background, "SELECT 1").Scan(&value))
}

func connectOnce(*sql.Conn, int) {
	db, conn := open()
	one(conn)
	check(conn.Close())
	check(db.Close())
}

func insert(conn *sql.Conn, _ int) {
	_, err := conn.ExecContext(background, "INSERT INTO item (name) VALUES (?)", "item number 1")
	check(err)
}

// 10,000 executions of one prepared statement: what database/sql has for executemany.
func many(conn *sql.Conn, n int) {
	tx, err := conn.BeginTx(background, nil)
	check(err)
	stmt, err := tx.Prepare("INSERT INTO many (name, price, stock, batch) VALUES (?, ?, ?, ?)")
	check(err)
	for i := 0; i < n; i++ {
		_, err = stmt.Exec(fmt.Sprintf("item number %d", i), float64(i)*0.5, i%100, 7)
		check(err)
	}
	check(stmt.Close())
	check(tx.Commit())
}

func fetch(conn *sql.Conn, n int) {
	rows, err := conn.QueryContext(background, "SELECT id, name, price, stock FROM big LIMIT ?", n)
	check(err)
	var id, stock int64
	var name string
	var price float64
	found := 0
	for ; rows.Next(); found++ {
		check(rows.Scan(&id, &name, &price, &stock))
	}
	check(rows.Err())
	check(rows.Close())
	if found != n {
		panic("rows are missing")
	}
}

func blobRead(conn *sql.Conn, n int) {
	var data []byte
	check(conn.QueryRowContext(background, "SELECT data FROM large").Scan(&data))
	if len(data) != n {
		panic("bytes are missing")
	}
}

func blobWrite(conn *sql.Conn, n int) {
	if blob == nil {
		blob = make([]byte, n)
	}
	_, err := conn.ExecContext(background, "INSERT OR REPLACE INTO written VALUES (1, ?)", blob)
	check(err)
}

func clients(calls, count int) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(count)
	done.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			db, conn := open()
			defer db.Close()
			one(conn)
			ready.Done()
			<-start
			for j := 0; j < calls; j++ {
				one(conn)
			}
			done.Done()
		}()
	}
	ready.Wait()
	measure(func() {
		close(start)
		done.Wait()
	}, 1, calls*count)
}

func measure(action func(), repeats, calls int) {
	found := reply{Calls: calls}
	before := cpu()
	for i := 0; i < repeats; i++ {
		start := time.Now()
		action()
		lap := time.Since(start).Seconds()
		found.Wall += lap
		if repeats > 1 {
			found.Laps = append(found.Laps, lap)
		}
	}
	found.CPU = cpu() - before
	answer(found)
}

func answer(found reply) {
	line, err := json.Marshal(found)
	check(err)
	fmt.Println(string(line))
}

func obey(conn *sql.Conn, op string, n, m int) {
	defer func() {
		if problem := recover(); problem != nil {
			answer(reply{Error: fmt.Sprint(problem)})
		}
	}()
	repeated := map[string]func(*sql.Conn, int){
		"connect": connectOnce, "select1": func(c *sql.Conn, _ int) { one(c) }, "insert": insert,
	}
	single := map[string]func(*sql.Conn, int){
		"many": many, "fetch": fetch, "blob_read": blobRead, "blob_write": blobWrite,
	}
	if action, ok := repeated[op]; ok {
		measure(func() { action(conn, n) }, n, n)
	} else if action, ok := single[op]; ok {
		times := m
		if times == 0 {
			times = 1
		}
		measure(func() {
			for i := 0; i < times; i++ {
				action(conn, n)
			}
		}, 1, n*times)
	} else if op == "clients" {
		clients(n, m)
	} else {
		answer(reply{Error: "does not do this"})
	}
}

func main() {
	var servers []client.NodeInfo
	for _, address := range strings.Split(os.Args[1], ",") {
		servers = append(servers, client.NodeInfo{Address: address})
	}
	database = os.Args[2]
	store := client.NewInmemNodeStore()
	check(store.Set(background, servers))
	quiet := func(client.LogLevel, string, ...interface{}) {}
	dqlite, err := driver.New(store, driver.WithLogFunc(quiet))
	check(err)
	sql.Register("dqlite", dqlite)
	_, conn := open()
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		var order []interface{}
		check(json.Unmarshal(orders.Bytes(), &order))
		obey(conn, order[0].(string), int(order[1].(float64)), int(order[2].(float64)))
	}
}
