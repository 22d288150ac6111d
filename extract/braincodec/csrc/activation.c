/* ELU of a sum, written with reflected borders: the one elementwise pass between two convolutions of the encoder.
 *
 * Plain loops that compilers turn into vector code, for float32 and for bfloat16 computed in float32. See
 * activation.py, which calls it and does the same with torch where this file was not compiled.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif

/* exp(x) - 1 for x <= 0 and x itself above; not a number stays so. exp(x) = 2^n exp(f), |f| <= log(2) / 2, with a
 * Taylor polynomial of degree 6: its error is below the rounding of float32. */
static inline float elu(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float low = x < -87.0f ? -87.0f : x;
    float n = (low * 1.44269504f + magic) - magic;
    float f = (low - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f; /* exp(f) - 1, exact near zero */
    union { float value; int32_t bits; } whole = {.value = n + magic}, power;
    power.bits = (int32_t)((uint32_t)(whole.bits - 0x4b400000 + 127) << 23);
    float negative = p * power.value + (power.value - 1.0f);
    return x > 0.0f ? x : negative;
}

static inline float widen(uint16_t bits)
{
    union { uint32_t bits; float value; } x = {.bits = (uint32_t)bits << 16};
    return x.value;
}

static inline uint16_t narrow(float value)
{
    union { float value; uint32_t bits; } x = {.value = value};
    uint32_t rounded = (x.bits + 0x7fff + ((x.bits >> 16) & 1)) >> 16;
    return (uint16_t)(value == value ? rounded : 0x7fc0);
}

#define DEFINE_ROW(NAME, TYPE, LOAD, STORE)                                                                      \
    EVERY_PROCESSOR static void NAME(const TYPE *restrict x, const TYPE *restrict added, TYPE *restrict out,     \
                                     Py_ssize_t count)                                                           \
    {                                                                                                            \
        if (added)                                                                                               \
            for (Py_ssize_t i = 0; i < count; i++) out[i] = STORE(elu(LOAD(x[i]) + LOAD(added[i])));             \
        else                                                                                                     \
            for (Py_ssize_t i = 0; i < count; i++) out[i] = STORE(elu(LOAD(x[i])));                              \
    }

DEFINE_ROW(row_float32, float, , )
DEFINE_ROW(row_bfloat16, uint16_t, widen, narrow)

static void run(const char *x, const char *added, char *out, Py_ssize_t rows, Py_ssize_t length, Py_ssize_t width,
                Py_ssize_t left, Py_ssize_t right, int bfloat16)
{
    Py_ssize_t frame = width * (bfloat16 ? 2 : 4);
    for (Py_ssize_t row = 0; row < rows; row++) {
        char *inside = out + left * frame;
        if (bfloat16)
            row_bfloat16((const uint16_t *)x, (const uint16_t *)added, (uint16_t *)inside, length * width);
        else
            row_float32((const float *)x, (const float *)added, (float *)inside, length * width);
        for (Py_ssize_t i = 1; i <= left; i++) memcpy(inside - i * frame, inside + i * frame, frame);
        char *last = inside + (length - 1) * frame;
        for (Py_ssize_t i = 1; i <= right; i++) memcpy(last + i * frame, last - i * frame, frame);
        x += length * frame;
        if (added) added += length * frame;
        out += (left + length + right) * frame;
    }
}

static PyObject *padded_elu(PyObject *self, PyObject *arguments)
{
    unsigned long long x, added, out;
    Py_ssize_t rows, length, width, left, right;
    int bfloat16;
    if (!PyArg_ParseTuple(arguments, "KKKnnnnnp", &x, &added, &out, &rows, &length, &width, &left, &right, &bfloat16))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    run((const char *)(uintptr_t)x, (const char *)(uintptr_t)added, (char *)(uintptr_t)out, rows, length, width, left,
        right, bfloat16);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"padded_elu", padded_elu, METH_VARARGS,
     "padded_elu(x, added, out, rows, length, width, left, right, bfloat16): addresses of (rows, length, width)."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_activation", NULL, -1, methods};

PyMODINIT_FUNC PyInit__activation(void) { return PyModule_Create(&definition); }
