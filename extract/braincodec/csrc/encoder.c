/* The encoder of a BrainCodec in one call, for processors with AVX-512. avx512.py prepares its weights and calls it.
 *
 * Frames lie channels last, so a stride of s over `width` channels is a stride of one over frames of s * width, and
 * a kernel has `taps` = kernel / s of these. Tiles of 4 outputs of 2 taps, or 3 of 3, are computed by minimal filtering
 * (Winograd, Toom and Cook): five products replace eight or nine. Other kernels are the plain sum, their taps side by
 * side. Products are of float32, or of bfloat16 with sums in float32; all else is float32.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <immintrin.h>
#include <string.h>

#define LANES 16
#define SUMS 28                     /* vectors of sums in a product, of 32 registers */
#define DEPTH 256                   /* of a product's inner axis at once, so that weights stay in the first cache */
#define PITCH ((DEPTH + LANES) * 4) /* bytes of a row of inputs: an odd number of cache lines, so rows do not collide */
#define POINTS 5
#define STRETCH 4096                /* values of frames that are prepared at once */
#define AVX512 __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define INLINE static inline __attribute__((always_inline)) AVX512

typedef struct {
    const float *bias;  /* (out_width) */
    const char *panels; /* weights, in the order in which they are read */
    Py_ssize_t length, width, out_length, out_width, stride, taps, left, outputs;
    Py_ssize_t reflected; /* length, with the zeros that an input shorter than its borders gets before it is reflected */
    Py_ssize_t block; /* tiles that go through all steps together: what they need stays in the second cache */
    Py_ssize_t group; /* rows that go through a stage together, likewise */
} Layer;

typedef struct {
    const float *x; /* (rows, length, width) */
    float *out;     /* (rows, out_length, out_width) */
    Py_ssize_t rows;
    char *scratch;
    int elu;  /* of x */
    int add;  /* to what is in out */
    int bfloat16;
} Work;

INLINE __mmask16 mask(Py_ssize_t count) { return count < LANES ? (__mmask16)((1u << count) - 1) : (__mmask16)-1; }

/* x above zero and exp(x) - 1 below; not a number stays so. 2^f, |f| <= 1/2, by the polynomial of degree 5
 * with the smallest relative error, 1e-7 before rounding. */
INLINE __m512 elu(__m512 x)
{
    const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
    __m512 low = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(zero, x));
    __m512 power = low * _mm512_set1_ps(1.44269504f);
    __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = power - whole;
    __m512 p = _mm512_set1_ps(1.32647271e-3f);
    p = p * f + _mm512_set1_ps(9.67151268e-3f);
    p = p * f + _mm512_set1_ps(5.55073374e-2f);
    p = p * f + _mm512_set1_ps(2.40222421e-1f);
    p = p * f + _mm512_set1_ps(6.93146978e-1f);
    p = p * f + one;
    return _mm512_max_ps(zero, x) + (_mm512_scalef_ps(p, whole) - one);
}

INLINE void activate(const float *x, float *out, Py_ssize_t count)
{
    Py_ssize_t i = 0;
    for (; i + LANES <= count; i += LANES) _mm512_storeu_ps(out + i, elu(_mm512_loadu_ps(x + i)));
    __mmask16 inside = mask(count - i);
    _mm512_mask_storeu_ps(out + i, inside, elu(_mm512_maskz_loadu_ps(inside, x + i)));
}

/* Positions [first, first + count) of a row, with its reflected borders; what lies beyond them is zero. */
INLINE void prepare(const Layer *layer, const Work *work, Py_ssize_t row, Py_ssize_t first, Py_ssize_t count,
                    float *out)
{
    Py_ssize_t width = layer->width, length = layer->length, last = layer->reflected - 1;
    for (Py_ssize_t i = 0, run; i < count; i += run, out += run * width) {
        Py_ssize_t position = first + i;
        run = position >= 0 && position < length ? length - position : 1;
        if (run > count - i) run = count - i;
        position = position < 0 ? -position : position > last ? 2 * last - position : position;
        const float *x = work->x + (row * length + position) * width;
        if (position < 0 || position >= length)
            memset(out, 0, width * sizeof(float));
        else if (work->elu)
            activate(x, out, run * width);
        else
            memcpy(out, x, run * width * sizeof(float));
    }
}

/* Frames to inputs, and products to outputs, for the points 1/2, -1/2, 3/2, -3/2 and infinity: of those with short
 * fractions these lose least by rounding. */
static const float INTO[POINTS][POINTS] = {
    {-1.125f, -2.25f, 0.5f, 1, 0},
    {1.125f, -2.25f, -0.5f, 1, 0},
    {-0.375f, -0.25f, 1.5f, 1, 0},
    {0.375f, -0.25f, -1.5f, 1, 0},
    {0.5625f, 0, -2.5f, 0, 1},
};
static const float POWERS[POINTS - 1][POINTS - 1] = {
    {1, 1, 1, 1},
    {0.5f, -0.5f, 1.5f, -1.5f},
    {0.25f, 0.25f, 2.25f, 2.25f},
    {0.125f, -0.125f, 3.375f, -3.375f},
};

/* One tile's frames to a row of inputs for each point. */
INLINE void transform_in(int points, Py_ssize_t inner, const float *frames, char *out, Py_ssize_t chunk_size,
                         Py_ssize_t point_size, int bfloat16)
{
    for (Py_ssize_t i = 0; i < inner; i += LANES) {
        char *to = out + i / DEPTH * chunk_size + i % DEPTH * (bfloat16 ? 2 : 4);
        __m512 values[POINTS];
        for (int t = 0; t < points; t++) values[t] = _mm512_maskz_loadu_ps(mask(inner - i), frames + t * inner + i);
        for (int p = 0; p < points; p++, to += point_size) {
            __m512 sum = values[0];
            if (points > 1) {
                sum *= INTO[p][0];
                for (int t = 1; t < points; t++)
                    if (INTO[p][t] != 0) sum += INTO[p][t] * values[t];
            }
            if (bfloat16)
                _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(sum));
            else
                _mm512_storeu_ps(to, sum);
        }
    }
}

/* (SUMS / vectors, depth) times (depth, vectors * LANES), added to `out` or written to it. */
INLINE void multiply(const char *x, const char *panel, Py_ssize_t depth, float *out, int vectors, int add,
                     int bfloat16)
{
    __m512 sums[SUMS];
#pragma GCC unroll 28
    for (int i = 0; i < SUMS; i++) sums[i] = add ? _mm512_load_ps(out + i * LANES) : _mm512_setzero_ps();
    for (Py_ssize_t k = 0; k < depth; k += 1 + bfloat16, x += 4, panel += vectors * LANES * 4) {
        __m512 weights[2];
        for (int j = 0; j < vectors; j++) weights[j] = _mm512_loadu_ps(panel + j * LANES * 4);
#pragma GCC unroll 28
        for (int i = 0; i < SUMS; i++) {
            __m512 value = _mm512_set1_ps(*(const float *)(x + i / vectors * PITCH)); /* or two of 16 bits */
            __m512 weight = weights[i % vectors];
            if (bfloat16)
                sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)value, (__m512bh)weight);
            else
                sums[i] += value * weight;
        }
    }
#pragma GCC unroll 28
    for (int i = 0; i < SUMS; i++) _mm512_store_ps(out + i * LANES, sums[i]);
}

/* One tile's products, from column on, to its outputs, so many of which are there. */
INLINE void transform_out(const Layer *layer, int points, int outputs, Py_ssize_t there, const float *sums,
                          int vectors, Py_ssize_t column, float *out, int add)
{
    for (int j = 0; j < vectors && column < layer->out_width; j++, column += LANES, sums += LANES) {
        __mmask16 inside = mask(layer->out_width - column);
        __m512 bias = _mm512_maskz_loadu_ps(inside, layer->bias + column), values[POINTS];
        for (int p = 0; p < points; p++) values[p] = _mm512_load_ps(sums + p * SUMS * LANES);
        for (int t = 0; t < outputs && t < there; t++) {
            float *to = out + t * layer->out_width + column;
            __m512 sum = bias;
            if (add) sum += _mm512_maskz_loadu_ps(inside, to);
            for (int p = 0; p < points - 1; p++) sum += POWERS[t][p] * values[p];
            if (t == outputs - 1) sum += values[points - 1];
            _mm512_mask_storeu_ps(to, inside, sum);
        }
    }
}

/* All tiles of a layer, block by block: inputs, then products, then outputs. */
INLINE void run(const Layer *layer, const Work *work, int outputs, int vectors, int bfloat16)
{
    int points = outputs == 1 ? 1 : POINTS;
    Py_ssize_t wide = layer->stride * layer->width, overlap = layer->taps - 1;
    Py_ssize_t inner = points == 1 ? layer->taps * wide : wide, chunks = (inner + DEPTH - 1) / DEPTH;
    Py_ssize_t tiles = (layer->out_length + outputs - 1) / outputs, total = work->rows * tiles;
    Py_ssize_t stretch = STRETCH / (outputs * wide) + 1;
    Py_ssize_t chunk_size = layer->block * PITCH, point_size = chunks * chunk_size;
    Py_ssize_t panels_size = points * (bfloat16 ? (inner + 1) / 2 : inner) * vectors * LANES * 4;
    char *inputs = work->scratch;
    float *frames = (float *)(inputs + points * point_size);
    float sums[POINTS * SUMS * LANES] __attribute__((aligned(64)));

    for (Py_ssize_t begin = 0; begin < total; begin += layer->block) {
        Py_ssize_t count = total - begin < layer->block ? total - begin : layer->block;
        for (Py_ssize_t i = 0, n; i < count; i += n) {
            Py_ssize_t row = (begin + i) / tiles, tile = (begin + i) % tiles;
            n = count - i < tiles - tile ? count - i : tiles - tile;
            if (n > stretch) n = stretch;
            Py_ssize_t first = tile * outputs * layer->stride - layer->left;
            prepare(layer, work, row, first, (n * outputs + overlap) * layer->stride, frames);
            for (Py_ssize_t j = 0; j < n; j++)
                transform_in(points, inner, frames + j * outputs * wide, inputs + (i + j) * PITCH, chunk_size,
                             point_size, bfloat16);
        }
        const char *panels = layer->panels;
        for (Py_ssize_t column = 0; column < layer->out_width; column += vectors * LANES) {
            Py_ssize_t row = begin / tiles, tile = begin % tiles;
            for (Py_ssize_t i = 0; i < count; i += SUMS / vectors) {
                const char *panel = panels;
                for (int p = 0; p < points; p++)
                    for (Py_ssize_t chunk = 0; chunk < chunks; chunk++) {
                        Py_ssize_t depth = inner - chunk * DEPTH < DEPTH ? inner - chunk * DEPTH : DEPTH;
                        multiply(inputs + p * point_size + chunk * chunk_size + i * PITCH, panel, depth,
                                 sums + p * SUMS * LANES, vectors, chunk > 0, bfloat16);
                        panel += (bfloat16 ? (depth + 1) / 2 : depth) * vectors * LANES * 4;
                    }
                for (Py_ssize_t j = 0; j < SUMS / vectors && i + j < count; j++) {
                    Py_ssize_t first = tile * outputs;
                    transform_out(layer, points, outputs, layer->out_length - first, sums + j * vectors * LANES, vectors,
                                  column, work->out + (row * layer->out_length + first) * layer->out_width, work->add);
                    if (++tile == tiles) tile = 0, row++;
                }
            }
            panels += panels_size;
        }
    }
}

/* One function for each shape of the inner loops. */
#define CASE(OUTPUTS, VECTORS, BFLOAT16)                                                      \
    if (layer->outputs == OUTPUTS && vectors == VECTORS && work->bfloat16 == BFLOAT16)        \
        run(layer, work, OUTPUTS, VECTORS, BFLOAT16)
#define CASES(OUTPUTS)    \
    CASE(OUTPUTS, 1, 0);  \
    CASE(OUTPUTS, 1, 1);  \
    CASE(OUTPUTS, 2, 0);  \
    CASE(OUTPUTS, 2, 1)

AVX512 static void convolve(const Layer *layer, const Work *work)
{
    int vectors = layer->out_width > LANES ? 2 : 1;
    CASES(1);
    CASES(3);
    CASES(4);
}

/* layers: first, then narrow, widen and down of each stage, then last. scratch: three buffers, each for the largest
 * layer of all rows, and what one layer needs. */
static void encode(const Layer *layers, Py_ssize_t stages, Py_ssize_t rows, const float *signal, float *latents,
                   float *scratch, Py_ssize_t buffer_size, int bfloat16)
{
    float *x = scratch, *y = x + buffer_size, *narrowed = y + buffer_size;
    char *rest = (char *)(narrowed + buffer_size);
    convolve(layers, &(Work){signal, x, rows, rest, 0, 0, bfloat16});
    for (Py_ssize_t stage = 0; stage < stages; stage++) {
        const Layer *narrow = layers + 1 + 3 * stage, *widen = narrow + 1, *down = narrow + 2;
        for (Py_ssize_t row = 0; row < rows; row += down->group) {
            Py_ssize_t count = rows - row < down->group ? rows - row : down->group;
            float *from = x + row * down->length * down->width, *to = y + row * down->out_length * down->out_width;
            convolve(narrow, &(Work){from, narrowed, count, rest, 1, 0, bfloat16});
            convolve(widen, &(Work){narrowed, from, count, rest, 1, 1, bfloat16});
            convolve(down, &(Work){from, to, count, rest, 1, 0, bfloat16});
        }
        float *swapped = x;
        x = y;
        y = swapped;
    }
    convolve(layers + 1 + 3 * stages, &(Work){x, latents, rows, rest, 1, 0, bfloat16});
}

static PyObject *call(PyObject *self, PyObject *arguments)
{
    unsigned long long layers, signal, latents, scratch;
    Py_ssize_t stages, rows, buffer_size;
    int bfloat16;
    if (!PyArg_ParseTuple(arguments, "KnnKKKnp", &layers, &stages, &rows, &signal, &latents, &scratch, &buffer_size,
                          &bfloat16))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    encode((const Layer *)(uintptr_t)layers, stages, rows, (const float *)(uintptr_t)signal,
           (float *)(uintptr_t)latents, (float *)(uintptr_t)scratch, buffer_size, bfloat16);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"encode", call, METH_VARARGS,
     "encode(layers, stages, rows, signal, latents, scratch, buffer_size, bfloat16): arrays by their addresses."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_encoder", NULL, -1, methods};

PyMODINIT_FUNC PyInit__encoder(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddIntMacro(module, LANES) < 0 || PyModule_AddIntMacro(module, SUMS) < 0 ||
        PyModule_AddIntMacro(module, DEPTH) < 0 || PyModule_AddIntMacro(module, PITCH) < 0 ||
        PyModule_AddIntMacro(module, STRETCH) < 0 ||
        PyModule_AddIntConstant(module, "LAYER_BYTES", sizeof(Layer)) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
