/* dqlite_dbapi._rows: decodes row tuples (wire-protocol 3.3 and 4) here, encodes parameters (3.2)
 * in params.c, exchanges messages in exchange.c and makes large memory in memory.c.
 *
 * The twin of pyrows.py and pyparams.py in dqlite_dbapi/wire, which stay the reference: same
 * arguments, same values, ValueError where pyrows raises ValueError or IndexError. Only the stable
 * ABI is used.
 */
#include "rows.h"

#include <string.h>

enum { MAX_COLUMNS = 32767 };

struct cursor {
	const unsigned char *next;
	const unsigned char *end;
	const unsigned char *place; /* where a blob would begin that is not there */
	PyObject *blob;
};

PyObject *damaged(const char *what)
{
	PyErr_SetString(PyExc_ValueError, what);
	return NULL;
}

static PyObject *take_text(struct cursor *at, int is_date)
{
	const unsigned char *start = at->next;
	const unsigned char *stop = memchr(start, 0, (size_t)(at->end - start));
	if (stop == NULL) {
		return damaged("text without its NUL");
	}
	at->next = start + ((stop - start) / 8 + 1) * 8;
	if (is_date && stop == start) {
		Py_RETURN_NONE; /* how a NULL in a date column arrives */
	}
	return PyUnicode_DecodeUTF8((const char *)start, stop - start, NULL);
}

static PyObject *take_blob(struct cursor *at)
{
	uint64_t size = word_at(at->next);
	const unsigned char *start = at->next + 8;
	if (start == at->place && size == (uint64_t)PyBytes_Size(at->blob)) {
		at->next = start;
		Py_INCREF(at->blob);
		return at->blob;
	}
	if (size > (uint64_t)(at->end - start)) {
		return damaged("a blob exceeds its message");
	}
	at->next = start + (size + 7) / 8 * 8;
	if (size < LARGE) {
		return PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)size);
	}
	PyObject *blob = fresh((Py_ssize_t)size);
	if (blob != NULL) {
		memcpy(PyBytes_AsString(blob), start, (size_t)size);
	}
	return blob;
}

static PyObject *take_value(struct cursor *at, int code)
{
	if (at->end - at->next < 8) {
		return damaged("it ends inside a row");
	}
	if (code == TEXT || code == ISO8601) {
		return take_text(at, code == ISO8601);
	}
	if (code == BLOB) {
		return take_blob(at);
	}
	uint64_t word = word_at(at->next);
	at->next += 8;
	if (code == INTEGER || code == UNIXTIME || code == BOOLEAN) {
		return PyLong_FromLongLong((int64_t)word);
	}
	if (code == FLOAT) {
		double number;
		memcpy(&number, &word, sizeof number);
		return PyFloat_FromDouble(number);
	}
	if (code == NULL_VALUE) {
		Py_RETURN_NONE;
	}
	return damaged("a row has an unknown value type");
}

static PyObject *take_row(struct cursor *at, Py_ssize_t columns)
{
	const unsigned char *header = at->next;
	Py_ssize_t header_size = (columns + 15) / 16 * 8;
	if (at->end - header < header_size) {
		return damaged("it ends inside a row");
	}
	at->next += header_size;
	PyObject *row = PyTuple_New(columns);
	if (row == NULL) {
		return NULL;
	}
	for (Py_ssize_t column = 0; column < columns; column++) {
		int code = header[column / 2] >> (column % 2 * 4) & 15;
		PyObject *value = take_value(at, code);
		if (value == NULL || PyTuple_SetItem(row, column, value) < 0) {
			Py_DECREF(row);
			return NULL;
		}
	}
	/* Its values refer to nothing, as the collector would find out at a higher price. */
	PyObject_GC_UnTrack(row);
	return row;
}

/* Append rows to the list out; 1 when another part follows, 0 when none does, -1 for an error. */
static int append_rows(struct cursor *at, Py_ssize_t columns, PyObject *out)
{
	while (at->end - at->next >= 8) {
		uint64_t word = word_at(at->next);
		if (word == DONE || word == PART) {
			if (at->end - at->next != 8) {
				damaged("bytes stand behind its last row");
				return -1;
			}
			return word == PART;
		}
		if (columns == 0) {
			break;
		}
		PyObject *row = take_row(at, columns);
		if (row == NULL) {
			return -1;
		}
		int failed = PyList_Append(out, row);
		Py_DECREF(row);
		if (failed) {
			return -1;
		}
	}
	damaged("it ends without a marker");
	return -1;
}

/* As append_rows(), without the collector. Until Python 3.12 it runs for every 700 tuples, finds
 * nothing among them, and every hundredth time looks at all that the program has.
 */
static int take_rows(struct cursor *at, Py_ssize_t columns, PyObject *out)
{
#ifdef Py_GIL_DISABLED
	return append_rows(at, columns, out); /* another thread may switch it meanwhile */
#else
	int was_enabled = PyGC_Disable();
	int more = append_rows(at, columns, out);
	if (was_enabled) {
		PyGC_Enable();
	}
	return more;
#endif
}

PyDoc_STRVAR(decode_doc,
	     "decode(body, offset, columns, out, blob=None, /)\n--\n\n"
	     "Append the rows from offset on to the list out; True when another part follows.\n"
	     "blob: where one would begin that is not there, and what it is.");

static PyObject *decode(PyObject *module, PyObject *args)
{
	(void)module;
	PyObject *body;
	PyObject *out;
	Py_ssize_t offset;
	Py_ssize_t columns;
	PyObject *apart = Py_None;
	Py_ssize_t place = -1;
	PyObject *blob = NULL;
	if (!PyArg_ParseTuple(args, "OnnO!|O", &body, &offset, &columns, &PyList_Type, &out,
			      &apart) ||
	    (apart != Py_None && !PyArg_ParseTuple(apart, "nS", &place, &blob))) {
		return NULL;
	}
	char *bytes;
	Py_ssize_t size;
	if (PyByteArray_Check(body)) {
		bytes = PyByteArray_AsString(body);
		size = PyByteArray_Size(body);
	} else if (PyBytes_AsStringAndSize(body, &bytes, &size) < 0) {
		return NULL;
	}
	if (offset < 0 || offset > size || columns < 0 || columns > size) {
		return damaged("its header is out of bounds");
	}
	struct cursor at = {(unsigned char *)bytes + offset, (unsigned char *)bytes + size, NULL,
			    blob};
	if (place >= 0 && place <= size) {
		at.place = (unsigned char *)bytes + place;
	}
	int more = take_rows(&at, columns, out);
	return more < 0 ? NULL : PyBool_FromLong(more);
}

/* A run of whole ROWS messages that begin with the same header, the column names. */
struct run {
	const char *data;
	Py_ssize_t size;
	Py_ssize_t offset; /* of the next message */
	const char *header;
	Py_ssize_t header_size;
	Py_ssize_t columns;
};

/* Append the rows of a run to the list out; 1 when another part follows, 0 when none does, -1 for an
 * error. A part that is damaged or has no rows is left for whoever decodes it by itself.
 */
static int take_run(struct run *r, PyObject *out)
{
	while (r->size - r->offset >= 8 + r->header_size) {
		const unsigned char *start = (const unsigned char *)r->data + r->offset;
		uint64_t head = word_at(start);
		uint64_t body = (head & UINT32_MAX) * 8;
		Py_ssize_t before = PyList_Size(out);
		if ((head >> 32 & 255) != ROWS || body > (uint64_t)(r->size - r->offset - 8) ||
		    body < (uint64_t)r->header_size ||
		    memcmp(start + 8, r->header, (size_t)r->header_size) != 0) {
			break;
		}
		struct cursor at = {start + 8 + r->header_size, start + 8 + body, NULL, NULL};
		int more = take_rows(&at, r->columns, out);
		if (more < 0 && !PyErr_ExceptionMatches(PyExc_ValueError)) {
			return -1;
		}
		if (more < 0 || (more && PyList_Size(out) == before)) {
			PyErr_Clear();
			return PyList_SetSlice(out, before, PY_SSIZE_T_MAX, NULL) < 0 ? -1 : 1;
		}
		r->offset += 8 + (Py_ssize_t)body;
		if (!more) {
			return 0;
		}
	}
	return 1;
}

PyDoc_STRVAR(decode_parts_doc,
	     "decode_parts(data, offset, header, columns, out, /)\n--\n\n"
	     "Append the rows of the whole ROWS messages from offset on to the list out: the offset\n"
	     "behind those that were taken, and True when another part follows.");

static PyObject *decode_parts(PyObject *module, PyObject *args)
{
	(void)module;
	struct run r;
	PyObject *out;
	if (!PyArg_ParseTuple(args, "y#ny#nO!", &r.data, &r.size, &r.offset, &r.header,
			      &r.header_size, &r.columns, &PyList_Type, &out)) {
		return NULL;
	}
	if (r.offset < 0 || r.columns < 0 || r.columns > MAX_COLUMNS) {
		return damaged("its header is out of bounds");
	}
	int more = take_run(&r, out);
	return more < 0 ? NULL : Py_BuildValue("nO", r.offset, more ? Py_True : Py_False);
}

/* Column names, of which there are at most as many as words. */
static PyObject *take_names(struct cursor *at, Py_ssize_t count)
{
	PyObject *names = PyTuple_New(count);
	for (Py_ssize_t column = 0; names != NULL && column < count; column++) {
		const unsigned char *start = at->next;
		const unsigned char *stop =
			start < at->end ? memchr(start, 0, (size_t)(at->end - start)) : NULL;
		PyObject *name = NULL;
		if (stop != NULL) {
			at->next = start + ((stop - start) / 8 + 1) * 8;
			name = PyUnicode_DecodeUTF8((const char *)start, stop - start,
						    "surrogateescape");
		} else {
			damaged("a name without its NUL");
		}
		if (name == NULL || PyTuple_SetItem(names, column, name) < 0) {
			Py_CLEAR(names);
		}
	}
	return names;
}

PyDoc_STRVAR(decode_answer_doc,
	     "decode_answer(chunk, /)\n--\n\n"
	     "(names, rows, False, head) of a chunk that is all ROWS messages of one result, whole;\n"
	     "None for any other.");

/* The tuple (names, rows, False, head). */
static PyObject *make_answer(PyObject *names, PyObject *rows, const char *head, Py_ssize_t size)
{
	PyObject *codes = PyBytes_FromStringAndSize(head, size);
	PyObject *answer = codes == NULL ? NULL : PyTuple_New(4);
	if (answer == NULL) {
		Py_XDECREF(codes);
		return NULL;
	}
	Py_INCREF(names);
	Py_INCREF(rows);
	Py_INCREF(Py_False);
	PyTuple_SetItem(answer, 0, names);
	PyTuple_SetItem(answer, 1, rows);
	PyTuple_SetItem(answer, 2, Py_False);
	PyTuple_SetItem(answer, 3, codes);
	return answer;
}

PyObject *answer_in(const char *chunk, Py_ssize_t size)
{
	const unsigned char *start = (const unsigned char *)chunk;
	uint64_t header = size < 24 ? 0 : word_at(start);
	uint64_t count = size < 24 ? 0 : word_at(start + 8);
	uint64_t first = (header & UINT32_MAX) * 8;
	if (size < 24 || first < 16 || first > (uint64_t)size - 8 ||
	    (header >> 32 & 255) != ROWS || count > MAX_COLUMNS || count * 8 > first) {
		Py_RETURN_NONE;
	}
	struct cursor at = {start + 16, start + 8 + first, NULL, NULL};
	PyObject *rows = PyList_New(0);
	PyObject *names = take_names(&at, (Py_ssize_t)count);
	PyObject *result = NULL;
	if (rows != NULL && names != NULL) {
		const char *codes = (const char *)at.next;
		struct run r = {chunk, size, 0, chunk + 8, codes - chunk - 8, (Py_ssize_t)count};
		if (take_run(&r, rows) == 0 && r.offset == size) {
			Py_ssize_t head = PyList_Size(rows) ? ((Py_ssize_t)count + 1) / 2 : 0;
			result = make_answer(names, rows, codes, head);
		}
	} else if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_ValueError)) {
		PyErr_Clear();
	}
	Py_XDECREF(rows);
	Py_XDECREF(names);
	if (result == NULL && !PyErr_Occurred()) {
		Py_RETURN_NONE;
	}
	return result;
}

static PyObject *decode_answer(PyObject *module, PyObject *chunk)
{
	(void)module;
	char *bytes;
	Py_ssize_t size;
	return PyBytes_AsStringAndSize(chunk, &bytes, &size) < 0 ? NULL : answer_in(bytes, size);
}

static PyMethodDef methods[] = {
	{"decode", decode, METH_VARARGS, decode_doc},
	{"blank", blank, METH_O, blank_doc},
	{"enlarge", enlarge, METH_VARARGS, enlarge_doc},
	{"decode_parts", decode_parts, METH_VARARGS, decode_parts_doc},
	{"decode_answer", decode_answer, METH_O, decode_answer_doc},
	{"encode_params", (PyCFunction)(void (*)(void))encode_params, METH_FASTCALL,
	 encode_params_doc},
	{"ask", (PyCFunction)(void (*)(void))ask, METH_FASTCALL, ask_doc},
	{"exchange", (PyCFunction)(void (*)(void))exchange, METH_FASTCALL, exchange_doc},
	{"take", take_chunk, METH_O, take_doc},
	{"encode_row", (PyCFunction)(void (*)(void))encode_row, METH_FASTCALL, encode_row_doc},
	{"join_rows", (PyCFunction)(void (*)(void))join_rows, METH_FASTCALL, join_rows_doc},
	{"encode_rows", encode_rows, METH_VARARGS, encode_rows_doc},
	{NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
	{Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
	{0, NULL},
};

static struct PyModuleDef definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "dqlite_dbapi._rows",
	.m_doc = "Codec of rows and parameters in C; see dqlite_dbapi.wire.",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__rows(void)
{
	return PyModuleDef_Init(&definition);
}
