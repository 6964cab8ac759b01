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

const char encode_row_doc[] = PyDoc_STR("encode_row(values, slow, adapters, /)\n--\n\n"
			     "The type codes of values without padding, and their bytes.");

PyObject *encode_row(PyObject *module, PyObject *const *args, Py_ssize_t given)
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
