/* dqlite_dbapi._rows: decodes row tuples (wire-protocol 3.3 and 4) here, encodes parameters (3.2)
 * in params.c and exchanges messages in exchange.c.
 *
 * The twin of pyrows.py and pyparams.py in dqlite_dbapi/wire, which stay the reference: same
 * arguments, same values, ValueError where pyrows raises ValueError or IndexError. Only the stable
 * ABI is used.
 */
#include "rows.h"

#include <string.h>

enum { ROWS = 7, MAX_COLUMNS = 32767 };

static const uint64_t DONE = UINT64_MAX;
static const uint64_t PART = UINT64_C(0xeeeeeeeeeeeeeeee);

struct cursor {
	const unsigned char *next;
	const unsigned char *end;
};

static uint64_t word_at(const unsigned char *p)
{
	uint64_t value = 0;
	for (int byte = 7; byte >= 0; byte--) {
		value = value << 8 | p[byte];
	}
	return value;
}

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
	if (size > (uint64_t)(at->end - start)) {
		return damaged("a blob exceeds its message");
	}
	at->next = start + (size + 7) / 8 * 8;
	return PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)size);
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
static int take_rows(struct cursor *at, Py_ssize_t columns, PyObject *out)
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

PyDoc_STRVAR(decode_doc,
	     "decode(body, offset, columns, out, /)\n--\n\n"
	     "Append the rows from offset on to the list out; True when another part follows.");

static PyObject *decode(PyObject *module, PyObject *args)
{
	(void)module;
	PyObject *body;
	PyObject *out;
	Py_ssize_t offset;
	Py_ssize_t columns;
	if (!PyArg_ParseTuple(args, "OnnO!", &body, &offset, &columns, &PyList_Type, &out)) {
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
	struct cursor at = {(unsigned char *)bytes + offset, (unsigned char *)bytes + size};
	int more = take_rows(&at, columns, out);
	return more < 0 ? NULL : PyBool_FromLong(more);
}

PyDoc_STRVAR(decode_parts_doc,
	     "decode_parts(data, offset, header, columns, out, /)\n--\n\n"
	     "Append the rows of the whole ROWS messages from offset on to the list out: the offset\n"
	     "behind those that were taken, and True when another part follows.");

static PyObject *decode_parts(PyObject *module, PyObject *args)
{
	(void)module;
	const char *data, *header;
	PyObject *out;
	Py_ssize_t size, offset, header_size, columns;
	int more = 1;
	if (!PyArg_ParseTuple(args, "y#ny#nO!", &data, &size, &offset, &header, &header_size,
			      &columns, &PyList_Type, &out)) {
		return NULL;
	}
	if (offset < 0 || columns < 0 || columns > MAX_COLUMNS) {
		return damaged("its header is out of bounds");
	}
	while (more && size - offset >= 8 + header_size) {
		const unsigned char *start = (const unsigned char *)data + offset;
		uint64_t head = word_at(start);
		uint64_t body = (head & UINT32_MAX) * 8;
		Py_ssize_t before = PyList_Size(out);
		if ((head >> 32 & 255) != ROWS || body > (uint64_t)(size - offset - 8) ||
		    body < (uint64_t)header_size ||
		    memcmp(start + 8, header, (size_t)header_size) != 0) {
			break;
		}
		struct cursor at = {start + 8 + header_size, start + 8 + body};
		int found = take_rows(&at, columns, out);
		if (found < 0 || (found && PyList_Size(out) == before)) {
			/* Whoever decodes that part by itself says what is wrong with it. */
			PyErr_Clear();
			if (PyList_SetSlice(out, before, PY_SSIZE_T_MAX, NULL) < 0) {
				return NULL;
			}
			break;
		}
		more = found;
		offset += 8 + (Py_ssize_t)body;
	}
	return Py_BuildValue("nO", offset, more ? Py_True : Py_False);
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
	     "(names, rows, False, head) of a chunk that is one whole ROWS message and the last of\n"
	     "its result; None for any other.");

PyObject *answer_in(const char *chunk, Py_ssize_t size)
{
	const unsigned char *start = (const unsigned char *)chunk;
	uint64_t header = size < 24 ? 0 : word_at(start);
	uint64_t count = size < 24 ? 0 : word_at(start + 8);
	if (size < 24 || (header & UINT32_MAX) * 8 != (uint64_t)size - 8 ||
	    (header >> 32 & 255) != ROWS || count > MAX_COLUMNS || count * 8 > (uint64_t)size) {
		Py_RETURN_NONE;
	}
	struct cursor at = {start + 16, start + size};
	PyObject *rows = PyList_New(0);
	PyObject *names = take_names(&at, (Py_ssize_t)count);
	const char *first = (const char *)at.next;
	PyObject *result = NULL;
	if (rows != NULL && names != NULL && take_rows(&at, (Py_ssize_t)count, rows) == 0) {
		Py_ssize_t head = PyList_Size(rows) ? ((Py_ssize_t)count + 1) / 2 : 0;
		result = Py_BuildValue("OOON", names, rows, Py_False,
				       PyBytes_FromStringAndSize(first, head));
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
	{"decode_parts", decode_parts, METH_VARARGS, decode_parts_doc},
	{"decode_answer", decode_answer, METH_O, decode_answer_doc},
	{"encode_params", (PyCFunction)(void (*)(void))encode_params, METH_FASTCALL,
	 encode_params_doc},
	{"ask", (PyCFunction)(void (*)(void))ask, METH_FASTCALL, ask_doc},
	{"exchange", (PyCFunction)(void (*)(void))exchange, METH_FASTCALL, exchange_doc},
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
