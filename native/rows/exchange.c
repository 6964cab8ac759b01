/* One exchange with a member: the message goes out and the first chunk of its answer comes in,
 * while the interpreter's lock is released once.
 */
#include "rows.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* How many bytes are gathered, at first and when more of an answer comes (much on the stack would be
 * felt by the shortest call), after how many it is a long one, and how many milliseconds one more
 * part is waited for: before and after the last one is acknowledged.
 */
enum { ROOM = 32768, MORE = 131072, LONG = 262144, LAZINESS = 1, PATIENCE = 2 };

struct talk {
	int socket;
	int gathers;   /* goes on while parts of a result come */
	int continues; /* more of an answer is to come */
	int is_long;   /* much of it has come */
	const char *message;
	size_t left;   /* bytes that are not sent yet */
	size_t filled; /* bytes of the chunk */
	size_t parsed; /* of which are whole parts */
	size_t room;   /* bytes that the chunk may have */
	char *chunk;
};

/* Whether what came is whole parts of a result, and another one is to follow. */
static int expects_more(struct talk *t)
{
	while (t->filled - t->parsed >= 16) {
		const unsigned char *start = (unsigned char *)t->chunk + t->parsed;
		uint64_t head = word_at(start);
		uint64_t size = (head & UINT32_MAX) * 8 + 8;
		if ((head >> 32 & 255) != ROWS || size < 16 || size > t->filled - t->parsed ||
		    word_at(start + size - 8) != PART) {
			return 0;
		}
		t->parsed += (size_t)size;
	}
	return t->parsed == t->filled;
}

static int waits(const struct talk *t, int milliseconds)
{
	struct pollfd readable = {t->socket, POLLIN, 0};
	return poll(&readable, 1, milliseconds);
}

/* The member never sets TCP_NODELAY: a second small message of one reply waits until the first is
 * acknowledged, which the system would delay by some 40 ms. So that is done before more is received,
 * but it also makes the system send a part or two where it could send 64 KiB at once. Of a long
 * result a member has as much ready within a millisecond, which is waited for: 0 if in vain, -1 for
 * an error.
 */
static int acknowledge(const struct talk *t)
{
	int ready = t->is_long ? waits(t, LAZINESS) : 0;
#ifdef TCP_QUICKACK
	if (ready == 0) {
		int yes = 1;
		setsockopt(t->socket, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
	}
#endif
	return ready;
}

static ssize_t receive(struct talk *t)
{
	for (;;) {
		ssize_t came = recv(t->socket, t->chunk + t->filled, t->room - t->filled, 0);
		if (came < 0) {
			return -1;
		}
		t->filled += (size_t)came;
		if (came == 0 || !t->gathers || t->filled == t->room || !expects_more(t)) {
			return (ssize_t)t->filled;
		}
		int ready = acknowledge(t);
		if (ready == 0) {
			ready = waits(t, PATIENCE);
		}
		if (ready <= 0) {
			return ready < 0 ? -1 : (ssize_t)t->filled;
		}
	}
}

/* Size of the chunk, 0 at the end of the stream, -1 for an error; goes on after a signal. */
static ssize_t talk(struct talk *t)
{
	while (t->left) {
		ssize_t sent = send(t->socket, t->message, t->left, MSG_NOSIGNAL);
		if (sent < 0) {
			return -1;
		}
		t->message += sent;
		t->left -= (size_t)sent;
	}
	if (t->continues && t->filled == 0 && acknowledge(t) < 0) {
		return -1;
	}
	return receive(t);
}

typedef PyObject *finisher(const char *, Py_ssize_t);

static PyObject *converse(struct talk *t, finisher *finish)
{
	t->filled = t->parsed = 0;
	for (;;) {
		ssize_t came;
		Py_BEGIN_ALLOW_THREADS
		came = talk(t);
		Py_END_ALLOW_THREADS
		if (came >= 0) {
			return finish(t->chunk, came);
		}
		if (errno != EINTR) {
			return PyErr_SetFromErrno(PyExc_OSError);
		}
		if (PyErr_CheckSignals() < 0) {
			return NULL;
		}
	}
}

/* Send a message and receive what comes; finish() makes the result of it. */
static PyObject *begin(struct talk *t, finisher *finish)
{
	char chunk[ROOM];
	t->chunk = chunk;
	t->room = ROOM;
	return converse(t, finish);
}

static PyObject *go_on(struct talk *t)
{
	t->gathers = t->continues = 1;
	t->room = MORE;
	t->chunk = malloc(MORE);
	if (t->chunk == NULL) {
		return PyErr_NoMemory();
	}
	PyObject *result = converse(t, PyBytes_FromStringAndSize);
	free(t->chunk);
	return result;
}

static int parse(struct talk *t, PyObject *const *args, Py_ssize_t given, Py_ssize_t wanted)
{
	char *message;
	Py_ssize_t size;
	if (given != wanted) {
		PyErr_Format(PyExc_TypeError, "%zd arguments are expected", wanted);
		return -1;
	}
	t->socket = PyObject_AsFileDescriptor(args[0]);
	if (t->socket < 0 || PyBytes_AsStringAndSize(args[1], &message, &size) < 0) {
		return -1;
	}
	t->gathers = t->continues = t->is_long = 0;
	t->message = message;
	t->left = (size_t)size;
	return 0;
}

const char exchange_doc[] = PyDoc_STR(
	"exchange(descriptor, message, before, /)\n--\n\n"
	"Send the message on a blocking socket; the bytes that come then, none at the stream's end.\n"
	"Without a message, more of an answer is received, as many short parts as come; `before`\n"
	"says how many bytes of it have come.");

PyObject *exchange(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	struct talk t;
	if (parse(&t, args, given, 3) < 0) {
		return NULL;
	}
	if (t.left) {
		return begin(&t, PyBytes_FromStringAndSize);
	}
	Py_ssize_t before = PyLong_AsSsize_t(args[2]);
	if (before == -1 && PyErr_Occurred()) {
		return NULL;
	}
	t.is_long = before >= LONG;
	return go_on(&t);
}

static PyObject *answer_or_bytes(const char *chunk, Py_ssize_t size)
{
	PyObject *answer = answer_in(chunk, size);
	if (answer != Py_None) {
		return answer;
	}
	Py_DECREF(answer);
	return PyBytes_FromStringAndSize(chunk, size);
}

const char take_doc[] = PyDoc_STR(
	"take(descriptor, /)\n--\n\n"
	"What has come on a socket that does not block, as ask() returns it; None for nothing yet.");

PyObject *take_chunk(PyObject *module, PyObject *descriptor)
{
	(void)module;
	char chunk[ROOM];
	int socket = PyObject_AsFileDescriptor(descriptor);
	if (socket < 0) {
		return NULL;
	}
	/* It does not wait, so the interpreter's lock is kept: giving it away costs more. */
	ssize_t came = recv(socket, chunk, ROOM, MSG_DONTWAIT);
	if (came >= 0) {
		return answer_or_bytes(chunk, came);
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
		Py_RETURN_NONE;
	}
	return PyErr_SetFromErrno(PyExc_OSError);
}

const char ask_doc[] = PyDoc_STR(
	"ask(descriptor, message, /)\n--\n\n"
	"As exchange(), but go on while short parts of a result come, and return what\n"
	"decode_answer() makes of them, unless that is None.");

PyObject *ask(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	struct talk t;
	if (parse(&t, args, given, 2) < 0) {
		return NULL;
	}
	t.gathers = 1;
	return begin(&t, answer_or_bytes);
}
