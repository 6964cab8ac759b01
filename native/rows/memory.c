/* Large memory, which the system makes of large pages. */
#include "rows.h"

#include <sys/mman.h>
#include <unistd.h>

void advise(char *memory, Py_ssize_t size)
{
#ifdef MADV_HUGEPAGE
	if (size >= LARGE) {
		uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
		uintptr_t start = (uintptr_t)memory / page * page;
		uintptr_t end = ((uintptr_t)memory + (uintptr_t)size + page - 1) / page * page;
		/* Whole pages, or the mapping would be split and could not be enlarged. */
		madvise((void *)start, end - start, MADV_HUGEPAGE);
	}
#else
	(void)memory;
	(void)size;
#endif
}

PyObject *fresh(Py_ssize_t size)
{
	PyObject *memory = PyBytes_FromStringAndSize(NULL, size);
	if (memory != NULL) {
		advise(PyBytes_AsString(memory), size);
	}
	return memory;
}

const char blank_doc[] =
	PyDoc_STR("blank(size, /)\n--\n\n"
		  "Memory to be filled before anybody sees it. What is in it is not defined.");

PyObject *blank(PyObject *module, PyObject *number)
{
	(void)module;
	Py_ssize_t size = PyNumber_AsSsize_t(number, PyExc_OverflowError);
	if (size < 0) {
		return PyErr_Occurred() ? NULL : damaged("a size below 0");
	}
	return fresh(size);
}

const char enlarge_doc[] =
	PyDoc_STR("enlarge(memory, size, /)\n--\n\n"
		  "Make a bytearray longer. What is in the new part is not defined.");

PyObject *enlarge(PyObject *module, PyObject *args)
{
	(void)module;
	PyObject *memory;
	Py_ssize_t size;
	if (!PyArg_ParseTuple(args, "O!n", &PyByteArray_Type, &memory, &size)) {
		return NULL;
	}
	if (size < PyByteArray_Size(memory)) {
		return damaged("it would be shorter");
	}
	if (PyByteArray_Resize(memory, size) < 0) {
		return NULL;
	}
	advise(PyByteArray_AsString(memory), size);
	Py_RETURN_NONE;
}
