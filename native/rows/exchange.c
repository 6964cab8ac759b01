/* One exchange with a member: the message goes out and the first chunk of its answer comes in,
 * while the interpreter's lock is released once.
 */
#include "rows.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { ROOM = 16384 };

struct talk {
	int socket;
	const char *message;
	size_t left; /* bytes that are not sent yet */
	char chunk[ROOM];
};

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
	return recv(t->socket, t->chunk, sizeof t->chunk, 0);
}

/* Do what exchange() does; finish() makes the result. */
static PyObject *converse(PyObject *const *args, Py_ssize_t given,
			  PyObject *(*finish)(const char *, Py_ssize_t))
{
	struct talk t;
	char *message;
	Py_ssize_t size;
	if (given != 2) {
		PyErr_SetString(PyExc_TypeError, "a descriptor and a message are expected");
		return NULL;
	}
	t.socket = PyObject_AsFileDescriptor(args[0]);
	if (t.socket < 0 || PyBytes_AsStringAndSize(args[1], &message, &size) < 0) {
		return NULL;
	}
	t.message = message;
	t.left = (size_t)size;
	for (;;) {
		ssize_t came;
		Py_BEGIN_ALLOW_THREADS
		came = talk(&t);
		Py_END_ALLOW_THREADS
		if (came >= 0) {
			return finish(t.chunk, came);
		}
		if (errno != EINTR) {
			return PyErr_SetFromErrno(PyExc_OSError);
		}
		if (PyErr_CheckSignals() < 0) {
			return NULL;
		}
	}
}

const char exchange_doc[] = PyDoc_STR(
	"exchange(descriptor, message, /)\n--\n\n"
	"Send the message on a blocking socket; the bytes that come then, none at the stream's end.");

PyObject *exchange(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	return converse(args, given, PyBytes_FromStringAndSize);
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

const char ask_doc[] = PyDoc_STR(
	"ask(descriptor, message, /)\n--\n\n"
	"As exchange(), but what decode_answer() makes of the bytes, unless that is None.");

PyObject *ask(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	return converse(args, given, answer_or_bytes);
}
