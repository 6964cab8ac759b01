/* Parameters (wire-protocol 3.2): measured first, then written into bytes of just that size. */
#include "rows.h"

#include <string.h>

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

/* Take values apart; what was taken is released again when it fails, which is an exception unless
 * slow is NULL and a value is not plain.
 */
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
		if (code == 0 && slow == NULL) {
			release(t);
			return -1;
		}
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

/* Bytes of the head, the count of values and room for their codes and the `size` bytes of them. */
static PyObject *begin(const char *head, Py_ssize_t head_size, Py_ssize_t count, Py_ssize_t size,
		       int wide, unsigned char **codes, unsigned char **body)
{
	Py_ssize_t before = wide ? 4 : 1;
	Py_ssize_t header = (before + count + 7) / 8 * 8;
	PyObject *result = fresh(head_size + header + size);
	if (result == NULL) {
		return NULL;
	}
	unsigned char *start = (unsigned char *)PyBytes_AsString(result);
	memcpy(start, head, (size_t)head_size);
	if (head_size >= 8) {
		uint64_t words = (uint64_t)(head_size + header + size - 8) / 8;
		for (int byte = 0; byte < 4; byte++) {
			start[byte] = (unsigned char)(words >> byte * 8);
		}
	}
	start += head_size;
	memset(start, 0, (size_t)header);
	for (Py_ssize_t byte = 0; byte < before; byte++) {
		start[byte] = (unsigned char)((uint64_t)count >> byte * 8);
	}
	*codes = start + before;
	*body = start + header;
	return result;
}

const char encode_params_doc[] = PyDoc_STR(
	     "encode_params(head, values, wide, slow, adapters, /)\n--\n\n"
	     "Put the tuple of values behind head, a message's beginning whose size is filled in.");

PyObject *encode_params(PyObject *module, PyObject *const *args, Py_ssize_t given)
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
	unsigned char *codes;
	unsigned char *body;
	PyObject *result = begin(head, head_size, t.count, t.size, wide, &codes, &body);
	if (result != NULL) {
		put(&t, codes, body);
	}
	release(&t);
	return result;
}

/* The codes and behind them the bytes of what was taken, which is released. */
static PyObject *finish_row(struct tuple *t)
{
	PyObject *row = PyBytes_FromStringAndSize(NULL, t->count + t->size);
	if (row != NULL) {
		unsigned char *codes = (unsigned char *)PyBytes_AsString(row);
		put(t, codes, codes + t->count);
	}
	release(t);
	return row;
}

const char encode_row_doc[] = PyDoc_STR("encode_row(values, slow, adapters, /)\n--\n\n"
			     "The type codes of values without padding, then their bytes.");

PyObject *encode_row(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	struct tuple t;
	if (given != 3) {
		PyErr_SetString(PyExc_TypeError, "encode_row() takes 3 arguments");
		return NULL;
	}
	return take(&t, args[0], args[1], args[2]) < 0 ? NULL : finish_row(&t);
}

/* The values of an item that is a tuple of `slots`, in order unless that is empty. */
static PyObject *pick(PyObject *item, Py_ssize_t slots, PyObject *order)
{
	Py_ssize_t count = PyTuple_Size(order);
	if (!PyTuple_CheckExact(item) || PyTuple_Size(item) != slots) {
		return NULL;
	}
	if (count == 0) {
		Py_INCREF(item);
		return item;
	}
	PyObject *picked = PyTuple_New(count);
	for (Py_ssize_t position = 0; picked != NULL && position < count; position++) {
		Py_ssize_t slot = PyLong_AsSsize_t(PyTuple_GetItem(order, position));
		PyObject *value = PyTuple_GetItem(item, slot);
		Py_XINCREF(value);
		if (value == NULL || PyTuple_SetItem(picked, position, value) < 0) {
			Py_CLEAR(picked);
		}
	}
	return picked;
}

const char encode_rows_doc[] =
	PyDoc_STR("encode_rows(items, start, slots, order, out, most, room, /)\n--\n\n"
		  "Append what encode_row() makes of plain rows to the list out: the number of the\n"
		  "first item that was not taken, and the bytes that were appended.");

PyObject *encode_rows(PyObject *module, PyObject *args)
{
	(void)module;
	PyObject *items, *order, *out;
	Py_ssize_t position, slots, most, room;
	Py_ssize_t size = 0;
	if (!PyArg_ParseTuple(args, "OnnO!O!nn", &items, &position, &slots, &PyTuple_Type, &order,
			      &PyList_Type, &out, &most, &room)) {
		return NULL;
	}
	for (; position < PySequence_Size(items); position++) {
		struct tuple t;
		if (PyList_Size(out) >= most || size > room) {
			break;
		}
		PyObject *item = PySequence_GetItem(items, position);
		PyObject *values = item == NULL ? NULL : pick(item, slots, order);
		int failed = values == NULL || take(&t, values, NULL, NULL) < 0;
		Py_XDECREF(values);
		Py_XDECREF(item);
		if (failed) {
			break;
		}
		Py_ssize_t more = t.count + t.size;
		PyObject *row = finish_row(&t);
		failed = row == NULL || PyList_Append(out, row) < 0;
		Py_XDECREF(row);
		if (failed) {
			break;
		}
		size += more;
	}
	return PyErr_Occurred() ? NULL : Py_BuildValue("nn", position, size);
}

const char join_rows_doc[] =
	PyDoc_STR("join_rows(head, rows, count, wide, /)\n--\n\n"
		  "Put the list of rows that encode_row() made of `count` values each behind head, as one\n"
		  "tuple of values.");

PyObject *join_rows(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
	(void)module;
	char *head, *row;
	Py_ssize_t head_size, row_size;
	Py_ssize_t size = 0;
	if (given != 4 || !PyList_Check(args[1])) {
		PyErr_SetString(PyExc_TypeError, "join_rows() takes a head, a list, a count, a bool");
		return NULL;
	}
	Py_ssize_t count = PyLong_AsSsize_t(args[2]);
	int wide = PyObject_IsTrue(args[3]);
	if (PyErr_Occurred() || PyBytes_AsStringAndSize(args[0], &head, &head_size) < 0) {
		return NULL;
	}
	Py_ssize_t rows = PyList_Size(args[1]);
	for (Py_ssize_t number = 0; number < rows; number++) {
		if (PyBytes_AsStringAndSize(PyList_GetItem(args[1], number), &row, &row_size) < 0) {
			return NULL;
		}
		if (count < 0 || row_size < count) {
			return damaged("a row has fewer bytes than values");
		}
		size += row_size - count;
	}
	if ((uint64_t)count * (uint64_t)rows > (wide ? UINT32_MAX : UINT8_MAX)) {
		return damaged("too many values for the count");
	}
	unsigned char *codes, *body;
	PyObject *result = begin(head, head_size, count * rows, size, wide, &codes, &body);
	for (Py_ssize_t number = 0; result != NULL && number < rows; number++) {
		PyBytes_AsStringAndSize(PyList_GetItem(args[1], number), &row, &row_size);
		memcpy(codes, row, (size_t)count);
		memcpy(body, row + count, (size_t)(row_size - count));
		codes += count;
		body += row_size - count;
	}
	return result;
}
