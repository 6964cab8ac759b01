/* dqlite_dbapi._rows: decodes row tuples (wire-protocol 3.3 and 4).
 *
 * The twin of dqlite_dbapi/wire/pyrows.py, which stays the reference: same arguments, same values,
 * ValueError where that one raises ValueError or IndexError. Only the stable ABI is used.
 */
#define PY_SSIZE_T_CLEAN
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
	if (!PyArg_ParseTuple(args, "SnnO!", &body, &offset, &columns, &PyList_Type, &out)) {
		return NULL;
	}
	char *bytes;
	Py_ssize_t size;
	if (PyBytes_AsStringAndSize(body, &bytes, &size) < 0) {
		return NULL;
	}
	if (offset < 0 || offset > size || columns < 0 || columns > size) {
		return damaged("its header is out of bounds");
	}
	struct cursor at = {(unsigned char *)bytes + offset, (unsigned char *)bytes + size};
	while (at.end - at.next >= 8) {
		uint64_t word = word_at(at.next);
		if (word == DONE || word == PART) {
			if (at.end - at.next != 8) {
				return damaged("bytes stand behind its last row");
			}
			return PyBool_FromLong(word == PART);
		}
		if (columns == 0) {
			break;
		}
		PyObject *row = take_row(&at, columns);
		if (row == NULL) {
			return NULL;
		}
		int failed = PyList_Append(out, row);
		Py_DECREF(row);
		if (failed) {
			return NULL;
		}
	}
	return damaged("it ends without a marker");
}

static PyMethodDef methods[] = {
	{"decode", decode, METH_VARARGS, decode_doc},
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
	.m_doc = "Row decoder in C; see dqlite_dbapi.wire.",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__rows(void)
{
	return PyModuleDef_Init(&definition);
}
