/* dqlite_dbapi._rows: decodes row tuples (wire-protocol 3.3 and 4) and encodes parameters (3.2).
 *
 * The twin of pyrows.py and pyparams.py in dqlite_dbapi/wire, which stay the reference: same
 * arguments, same values, ValueError where pyrows raises ValueError or IndexError. Only the stable
 * ABI is used.
 */
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum {
	INTEGER = 1,
	FLOAT = 2,
	TEXT = 3,
	BLOB = 4,
	NULL_VALUE = 5,
	UNIXTIME = 9,
	ISO8601 = 10,
	BOOLEAN = 11
};

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

static PyObject *damaged(const char *what)
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

static PyObject *decode_answer(PyObject *module, PyObject *chunk)
{
	(void)module;
	char *bytes;
	Py_ssize_t size;
	if (PyBytes_AsStringAndSize(chunk, &bytes, &size) < 0) {
		return NULL;
	}
	const unsigned char *start = (unsigned char *)bytes;
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

/* -- parameters: measured first, then written into bytes of just that size */

struct tuple {
	PyObject *values; /* a tuple */
	Py_ssize_t count;
	Py_ssize_t size; /* of all values on the wire */
	PyObject *slow;	 /* bytes of the values that are not plain, in order; NULL for none */
	unsigned char *codes;
	unsigned char few[64]; /* where codes are, unless there are more */
};

static void put_word(unsigned char *p, uint64_t value)
{
	for (int byte = 0; byte < 8; byte++) {
		p[byte] = (unsigned char)(value >> byte * 8);
	}
}

static unsigned char *put_padded(unsigned char *p, const char *raw, Py_ssize_t size, Py_ssize_t end)
{
	memcpy(p, raw, (size_t)size);
	memset(p + size, 0, (size_t)(end - size));
	return p + end;
}

/* Type code and size of a plain value; 0 for any other, also for text that cannot be sent. */
static int measure(PyObject *value, Py_ssize_t *size)
{
	*size = 8;
	if (value == Py_None) {
		return NULL_VALUE;
	}
	if (PyUnicode_CheckExact(value)) {
		Py_ssize_t length;
		const char *text = PyUnicode_AsUTF8AndSize(value, &length);
		if (text == NULL) {
			PyErr_Clear();
			return 0;
		}
		*size = (length / 8 + 1) * 8;
		return memchr(text, 0, (size_t)length) == NULL ? TEXT : 0;
	}
	if (PyLong_CheckExact(value) || PyBool_Check(value)) {
		int overflow;
		PyLong_AsLongLongAndOverflow(value, &overflow);
		return overflow ? 0 : INTEGER;
	}
	if (PyFloat_CheckExact(value)) {
		return FLOAT;
	}
	if (PyBytes_CheckExact(value)) {
		*size = 8 + (PyBytes_Size(value) + 7) / 8 * 8;
		return BLOB;
	}
	return 0;
}

/* Keep the bytes that slow(value, position, adapters) makes of a value; its type code or -1. */
static int measure_slowly(struct tuple *t, Py_ssize_t position, PyObject *slow, PyObject *adapters,
			  Py_ssize_t *size)
{
	PyObject *raw;
	int code = -1;
	PyObject *value = PyTuple_GetItem(t->values, position);
	PyObject *pair = PyObject_CallFunction(slow, "OnO", value, position + 1, adapters);
	if (pair == NULL) {
		return -1;
	}
	if (t->slow == NULL) {
		t->slow = PyList_New(0);
	}
	if (!PyTuple_Check(pair)) {
		PyErr_SetString(PyExc_TypeError, "slow() must return a tuple");
	} else if (t->slow != NULL && PyArg_ParseTuple(pair, "iS", &code, &raw)) {
		*size = PyBytes_Size(raw);
		code = PyList_Append(t->slow, raw) < 0 ? -1 : code & 127;
	} else {
		code = -1;
	}
	Py_DECREF(pair);
	return code < 0 ? -1 : code | 128;
}

static void release(struct tuple *t)
{
	if (t->codes != t->few) {
		PyMem_Free(t->codes);
	}
	Py_XDECREF(t->slow);
	Py_XDECREF(t->values);
}

/* Take values apart; what was taken is released again when it fails. */
static int take(struct tuple *t, PyObject *values, PyObject *slow, PyObject *adapters)
{
	t->codes = t->few;
	t->slow = NULL;
	t->size = 0;
	t->values = PySequence_Tuple(values);
	if (t->values == NULL) {
		return -1;
	}
	t->count = PyTuple_Size(t->values);
	if (t->count > (Py_ssize_t)sizeof t->few) {
		t->codes = PyMem_Malloc((size_t)t->count);
		if (t->codes == NULL) {
			PyErr_NoMemory();
			release(t);
			return -1;
		}
	}
	for (Py_ssize_t position = 0; position < t->count; position++) {
		Py_ssize_t size;
		int code = measure(PyTuple_GetItem(t->values, position), &size);
		if (code == 0) {
			code = measure_slowly(t, position, slow, adapters, &size);
		}
		if (code < 0 || size > PY_SSIZE_T_MAX / 2 - t->size) {
			if (code >= 0) {
				PyErr_NoMemory();
			}
			release(t);
			return -1;
		}
		t->codes[position] = (unsigned char)code;
		t->size += size;
	}
	return 0;
}

/* Write the type codes at `codes` and the values from `p` on. */
static void put(const struct tuple *t, unsigned char *codes, unsigned char *p)
{
	Py_ssize_t slow = 0;
	for (Py_ssize_t position = 0; position < t->count; position++) {
		PyObject *value = PyTuple_GetItem(t->values, position);
		int code = t->codes[position];
		Py_ssize_t size;
		double number;
		uint64_t word = 0;
		codes[position] = code & 127;
		switch (code) {
		case TEXT: {
			const char *text = PyUnicode_AsUTF8AndSize(value, &size);
			p = put_padded(p, text, size, (size / 8 + 1) * 8);
			continue;
		}
		case BLOB:
			size = PyBytes_Size(value);
			put_word(p, (uint64_t)size);
			p = put_padded(p + 8, PyBytes_AsString(value), size, (size + 7) / 8 * 8);
			continue;
		case INTEGER:
			word = (uint64_t)PyLong_AsLongLong(value);
			break;
		case FLOAT:
			number = PyFloat_AsDouble(value);
			memcpy(&word, &number, sizeof word);
			break;
		case NULL_VALUE:
			break;
		default:
			value = PyList_GetItem(t->slow, slow++);
			size = PyBytes_Size(value);
			p = put_padded(p, PyBytes_AsString(value), size, size);
			continue;
		}
		put_word(p, word);
		p += 8;
	}
}

PyDoc_STRVAR(encode_params_doc,
	     "encode_params(head, values, wide, slow, adapters, /)\n--\n\n"
	     "Put the tuple of values behind head, a message's beginning whose size is filled in.");

static PyObject *encode_params(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	struct tuple t;
	char *head;
	Py_ssize_t head_size;
	if (given != 5) {
		PyErr_SetString(PyExc_TypeError, "encode_params() takes 5 arguments");
		return NULL;
	}
	int wide = PyObject_IsTrue(args[2]);
	if (wide < 0 || PyBytes_AsStringAndSize(args[0], &head, &head_size) < 0 ||
	    take(&t, args[1], args[3], args[4]) < 0) {
		return NULL;
	}
	if ((uint64_t)t.count > (wide ? UINT32_MAX : UINT8_MAX)) {
		release(&t);
		return damaged("too many values for the count");
	}
	Py_ssize_t before = wide ? 4 : 1;
	Py_ssize_t header = (before + t.count + 7) / 8 * 8;
	PyObject *result = PyBytes_FromStringAndSize(NULL, head_size + header + t.size);
	if (result != NULL) {
		unsigned char *start = (unsigned char *)PyBytes_AsString(result);
		memcpy(start, head, (size_t)head_size);
		if (head_size >= 8) {
			uint64_t words = (uint64_t)(head_size + header + t.size - 8) / 8;
			for (int byte = 0; byte < 4; byte++) {
				start[byte] = (unsigned char)(words >> byte * 8);
			}
		}
		start += head_size;
		memset(start, 0, (size_t)header);
		for (Py_ssize_t byte = 0; byte < before; byte++) {
			start[byte] = (unsigned char)((uint64_t)t.count >> byte * 8);
		}
		put(&t, start + before, start + header);
	}
	release(&t);
	return result;
}

PyDoc_STRVAR(encode_row_doc, "encode_row(values, slow, adapters, /)\n--\n\n"
			     "The type codes of values without padding, and their bytes.");

static PyObject *encode_row(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	struct tuple t;
	if (given != 3) {
		PyErr_SetString(PyExc_TypeError, "encode_row() takes 3 arguments");
		return NULL;
	}
	if (take(&t, args[0], args[1], args[2]) < 0) {
		return NULL;
	}
	PyObject *codes = PyBytes_FromStringAndSize(NULL, t.count);
	PyObject *body = PyBytes_FromStringAndSize(NULL, t.size);
	PyObject *result = NULL;
	if (codes != NULL && body != NULL) {
		put(&t, (unsigned char *)PyBytes_AsString(codes),
		    (unsigned char *)PyBytes_AsString(body));
		result = PyTuple_Pack(2, codes, body);
	}
	Py_XDECREF(codes);
	Py_XDECREF(body);
	release(&t);
	return result;
}

static PyMethodDef methods[] = {
	{"decode", decode, METH_VARARGS, decode_doc},
	{"decode_answer", decode_answer, METH_O, decode_answer_doc},
	{"encode_params", (PyCFunction)(void (*)(void))encode_params, METH_FASTCALL,
	 encode_params_doc},
	{"encode_row", (PyCFunction)(void (*)(void))encode_row, METH_FASTCALL, encode_row_doc},
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
